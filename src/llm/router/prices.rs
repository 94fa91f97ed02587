//! What the answers of a deployment cost: by the prices that were said for it, or else by those of the
//! model that gave the answer. Pure.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::settings::Deployment;
use crate::llm::answer::Bill;
use crate::llm::catalogue;
use crate::llm::catalogue::cost::{self, Cost};

type Facts = Arc<Map<String, Value>>;

/// The prices of a deployment, looked up when its first answer is there.
#[derive(Debug, Default)]
pub(super) struct Prices(Mutex<Option<Known>>);

/// The facts of the model that gave an answer.
#[derive(Debug, Clone)]
struct Known {
    /// As the answer names it.
    model: Option<String>,
    facts: Facts,
}

impl Prices {
    /// What an answer costs; None where nobody knows.
    pub(super) fn cost(&self, deployment: &Deployment, bill: &Bill<'_>) -> Option<Cost> {
        let facts = self.facts(deployment, bill.model().as_deref());
        cost::of(&facts, &bill.usage()?, bill.service_tier().as_deref())
    }

    fn facts(&self, deployment: &Deployment, model: Option<&str>) -> Facts {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last
            .as_ref()
            .filter(|known| known.model.as_deref() == model)
        {
            return Arc::clone(&known.facts);
        }
        let facts = facts(deployment, model);
        *last = Some(Known {
            model: model.map(str::to_owned),
            facts: Arc::clone(&facts),
        });
        facts
    }
}

fn facts(deployment: &Deployment, model: Option<&str>) -> Facts {
    let is_said = |name: &String| name == "base_model" || cost::is_price(name);
    if deployment.info.keys().any(is_said) {
        return Arc::new(deployment.facts());
    }
    // An alias stands for a version, and a deployment for a model that its name does not say.
    let provider = Some(deployment.model.provider.name);
    let given = model.and_then(|model| catalogue::find(model, provider));
    let given = given.filter(|given| given.facts.keys().any(|name| cost::is_price(name)));
    given.map_or_else(|| Arc::new(deployment.facts()), |given| given.facts)
}
