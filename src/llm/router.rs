//! Several deployments behind one name of a model. Uses `client` and `provider`.

mod settings;

pub use settings::{
    Alias, AllowedFails, Deployment, Fallbacks, RetryPolicy, RouterSettings, Strategy,
};
