//! The deployed binary.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), runtime::Error> {
    runtime::stream::<notify::Notify>().await
}
