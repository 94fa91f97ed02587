//! The cache of results for Python: the store that clients may share, and how its settings are read.

use std::time::Duration;

use pyo3::prelude::*;

use crate::mcp::client::cache::{CacheMode, CacheSettings, Limits, Store};
use crate::python::session::limit;

/// Adds the classes of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CacheStore>()
}

/// Results in memory, for one client or for several.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct CacheStore(Store);

#[pymethods]
impl CacheStore {
    /// `entries` None is no limit but that of the bytes.
    #[new]
    fn new(entries: Option<usize>, maximum_bytes: usize) -> Self {
        Self(Store::new(Limits {
            entries,
            bytes: maximum_bytes,
        }))
    }

    /// Forgets everything.
    fn clear(&self) {
        self.0.clear();
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// Reads `cache` of the settings of a client: None, or `(store, target, partition, share_public,
/// default_ttl)`.
pub(super) fn read_cache(given: Option<Bound<'_, PyAny>>) -> PyResult<Option<CacheSettings>> {
    type Given<'py> = (Bound<'py, CacheStore>, String, String, bool, f64);
    let Some(given) = given else {
        return Ok(None);
    };
    let given: Option<Given<'_>> = given.extract()?;
    Ok(given.map(
        |(store, target, partition, shares_public, default_ttl)| CacheSettings {
            store: store.get().0.clone(),
            target,
            partition,
            shares_public,
            default_ttl: match limit(default_ttl) {
                Duration::MAX => Duration::from_hours(24),
                ttl => ttl,
            },
        },
    ))
}

/// Reads `cache_mode` of a call; Python has checked it.
pub(super) fn cache_mode(name: &str) -> CacheMode {
    match name {
        "refresh" => CacheMode::Refresh,
        "bypass" => CacheMode::Bypass,
        _ => CacheMode::Use,
    }
}
