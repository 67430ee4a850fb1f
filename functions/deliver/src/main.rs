//! The deployed binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), runtime::Error> {
    runtime::queue::<deliver::Deliver>().await
}
