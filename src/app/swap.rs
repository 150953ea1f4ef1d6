//! A router that is exchanged while requests are served.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

/// What a listener serves now. A request is served to its end by the router that it came to.
#[derive(Clone)]
pub(super) struct Swap(Arc<RwLock<Router>>);

impl Swap {
    pub fn new(router: Router) -> Self {
        Self(Arc::new(RwLock::new(router)))
    }

    /// From now on requests go to this one.
    pub fn set(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    fn current(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A router that hands every request to the one that is set when it comes.
    pub fn router(&self) -> Router {
        let swap = self.clone();
        Router::new().fallback_service(tower::service_fn(move |request: Request<Body>| swap.current().oneshot(request)))
    }
}
