//! `GET /guides/{product}/{app}` and `GET /guides/{product}/{app}/vendor`: the error pages' steps as standing
//! documentation. It is public, and tells what a product's file and the catalogue say, nothing of any customer.

use diagnosis::guide::Audience;
use http::StatusCode;
use jiff::Timestamp;
use pages::{GuidePage, Page};
use web::{
    Response,
    respond::{Forms, page},
};

use crate::{Errors, error::ErrorsError};

impl Errors {
    pub(crate) async fn guide(
        &self,
        product: &str,
        app: &str,
        audience: Audience,
        now: Timestamp,
    ) -> Result<Response, ErrorsError> {
        let (Ok(product), Ok(app)) = (product.parse(), app.parse()) else {
            return Err(ErrorsError::NotFound);
        };
        let found = self.platform.products.with_app(&product, &app, now).await?;
        let (product, app) = &found.ok_or(ErrorsError::NotFound)?;
        if audience == Audience::Packaging && !pages::guide::has_packaging(app) {
            return Err(ErrorsError::NotFound);
        }
        let public_url = &self.platform.settings.public_url;
        let callback = public_url.callback();
        let address = public_url.at(&pages::guide::path(&product.id, &app.id, audience));
        Ok(page(StatusCode::OK, Forms::Ours, |nonce| {
            GuidePage { nonce, product, app, audience, callback: &callback, address: &address }.html()
        }))
    }
}
