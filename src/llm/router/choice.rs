//! Which deployment of a group is asked next. Pure: what is known of the deployments and the chance
//! are arguments.

use super::settings::{Deployment, Strategy};
use super::state::Load;

/// A deployment that may be asked, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// What was said about it.
    pub(super) deployment: &'a Deployment,
    /// What is known of it.
    pub(super) load: Load,
}

/// What a request will take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    /// Whether its answer is a stream.
    pub(super) streams: bool,
    /// How many tokens it has, roughly.
    pub(super) tokens: u64,
}

/// The place among `candidates` of the one that is asked; None when every one of them is at its
/// limits. `chance` is in 0..1.
pub(super) fn choose(
    strategy: Strategy,
    candidates: &[Candidate<'_>],
    demand: Demand,
    chance: f64,
) -> Option<usize> {
    match strategy {
        Strategy::SimpleShuffle => shuffled(candidates, chance),
        Strategy::LeastBusy => lowest(candidates, chance, 0.0, |one| {
            Some(number(one.load.in_flight))
        }),
        Strategy::LatencyBased { buffer, .. } => lowest(candidates, chance, buffer, |one| {
            is_within_limits(one, demand).then(|| latency(&one.load, demand))
        }),
        Strategy::UsageBased => lowest(candidates, chance, 0.0, |one| {
            is_within_limits(one, demand).then(|| number(one.load.tokens))
        }),
    }
}

/// By weight where one is given, else by rpm, else by tpm, else all alike.
fn shuffled(candidates: &[Candidate<'_>], chance: f64) -> Option<usize> {
    let shares: [fn(&Deployment) -> Option<f64>; 3] = [
        |one| one.weight,
        |one| one.rpm.map(number),
        |one| one.tpm.map(number),
    ];
    let by_share = shares.into_iter().find_map(|share| {
        let weights = candidates.iter().map(|one| share(one.deployment));
        drawn(weights.map(Option::unwrap_or_default), chance)
    });
    by_share.or_else(|| drawn(candidates.iter().map(|_| 1.0), chance))
}

/// One of those whose measure is the lowest, or above the lowest by no more than a share of it.
fn lowest(
    candidates: &[Candidate<'_>],
    chance: f64,
    buffer: f64,
    measure: impl Fn(&Candidate<'_>) -> Option<f64>,
) -> Option<usize> {
    let lowest = candidates.iter().filter_map(&measure).reduce(f64::min)?;
    let bound = lowest + lowest * buffer;
    let weights = candidates.iter().map(|one| match measure(one) {
        Some(measured) if measured <= bound => 1.0,
        _ => 0.0,
    });
    drawn(weights, chance)
}

/// A place, drawn with these weights; None when there is no weight at all.
fn drawn(weights: impl Iterator<Item = f64> + Clone, chance: f64) -> Option<usize> {
    let usable = |weight: &f64| weight.is_finite() && *weight > 0.0;
    let total: f64 = weights.clone().filter(usable).sum();
    let mut left = chance * total;
    let mut last = None;
    for (place, weight) in weights.enumerate().filter(|(_, weight)| usable(weight)) {
        if left < weight {
            return Some(place);
        }
        left -= weight;
        last = Some(place);
    }
    // What rounding left over belongs to the last one.
    last
}

fn is_within_limits(one: &Candidate<'_>, demand: Demand) -> bool {
    let Candidate { deployment, load } = one;
    let fits = |used: u64, more: u64, limit: Option<u64>| {
        limit.is_none_or(|limit| used.saturating_add(more) <= limit)
    };
    fits(load.requests, 1, deployment.rpm) && fits(load.tokens, demand.tokens, deployment.tpm)
}

/// Seconds; one that is not known yet counts as the fastest, so that it becomes known.
fn latency(load: &Load, demand: Demand) -> f64 {
    let first = load.first_piece.filter(|_| demand.streams);
    first.or(load.latency).unwrap_or_default()
}

/// Exact up to what a deployment can ever count.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llm::model_id::ModelId;
    use crate::llm::provider::{Endpoint, Settings};
    use crate::llm::router::settings::Strategy;

    const LATENCY: Strategy = Strategy::LatencyBased {
        memory: std::time::Duration::from_hours(1),
        buffer: 0.5,
    };

    fn deployment() -> Deployment {
        let settings = Settings {
            api_base: Some("http://127.0.0.1:9/v1".to_owned()),
            ..Settings::default()
        };
        let model = ModelId::resolve("custom_openai/m", None, Some("")).unwrap();
        let endpoint = Endpoint::resolve(&model, &settings, &|_| None).unwrap();
        Deployment::new("m", model, endpoint)
    }

    fn with(change: impl FnOnce(&mut Deployment)) -> Deployment {
        let mut one = deployment();
        change(&mut one);
        one
    }

    fn candidates<'a>(all: &'a [(Deployment, Load)]) -> Vec<Candidate<'a>> {
        let one = |(deployment, load): &'a (Deployment, Load)| Candidate {
            deployment,
            load: *load,
        };
        all.iter().map(one).collect()
    }

    /// How many of a hundred even chances fall on each.
    fn spread(strategy: Strategy, all: &[(Deployment, Load)]) -> Vec<usize> {
        let mut counts = vec![0; all.len()];
        for step in 0..100 {
            let chance = f64::from(step) / 100.0;
            if let Some(place) = choose(strategy, &candidates(all), Demand::default(), chance) {
                counts[place] += 1;
            }
        }
        counts
    }

    fn load(change: impl FnOnce(&mut Load)) -> Load {
        let mut load = Load::default();
        change(&mut load);
        load
    }

    #[test]
    fn a_shuffle_goes_by_weight_then_rpm_then_tpm_then_nothing() {
        let idle = Load::default();
        let shuffle = |all: [Deployment; 2]| {
            let all = all.map(|one| (one, idle));
            spread(Strategy::SimpleShuffle, &all)
        };
        assert_eq!(shuffle([deployment(), deployment()]), [50, 50]);
        let weighted = [
            with(|one| (one.weight, one.rpm) = (Some(1.0), Some(1))),
            with(|one| (one.weight, one.rpm) = (Some(3.0), Some(99))),
        ];
        assert_eq!(shuffle(weighted), [25, 75]);
        let rpm = [
            with(|one| (one.rpm, one.tpm) = (Some(90), Some(1))),
            with(|one| (one.rpm, one.tpm) = (Some(10), Some(1))),
        ];
        assert_eq!(shuffle(rpm), [90, 10]);
        let tpm = [
            with(|one| one.tpm = Some(40)),
            with(|one| one.tpm = Some(60)),
        ];
        assert_eq!(shuffle(tpm), [40, 60]);
        let one_weight = [with(|one| one.weight = Some(1.0)), deployment()];
        assert_eq!(shuffle(one_weight), [100, 0]);
        let no_weight = [with(|one| one.weight = Some(0.0)), deployment()];
        assert_eq!(shuffle(no_weight), [50, 50]);
    }

    #[test]
    fn the_least_busy_is_asked_and_equals_share() {
        let busy = |in_flight| (deployment(), load(|load| load.in_flight = in_flight));
        let counts = spread(Strategy::LeastBusy, &[busy(2), busy(1), busy(1)]);
        assert_eq!(counts, [0, 50, 50]);
    }

    #[test]
    fn the_fastest_is_asked_within_the_buffer_and_the_unknown_first() {
        let took = |seconds: Option<f64>| (deployment(), load(|load| load.latency = seconds));
        let counts = spread(
            LATENCY,
            &[took(Some(1.0)), took(Some(1.5)), took(Some(1.6))],
        );
        assert_eq!(counts, [50, 50, 0]);
        assert_eq!(spread(LATENCY, &[took(Some(0.1)), took(None)]), [0, 100]);
        let streamed = [
            (
                deployment(),
                load(|load| (load.latency, load.first_piece) = (Some(9.0), Some(1.0))),
            ),
            (
                deployment(),
                load(|load| (load.latency, load.first_piece) = (Some(1.0), Some(9.0))),
            ),
        ];
        let demand = Demand {
            streams: true,
            tokens: 0,
        };
        assert_eq!(
            choose(LATENCY, &candidates(&streamed), demand, 0.5),
            Some(0)
        );
        assert_eq!(
            choose(LATENCY, &candidates(&streamed), Demand::default(), 0.5),
            Some(1)
        );
    }

    #[test]
    fn usage_is_kept_within_the_limits_of_a_minute() {
        let used = |tokens, requests, rpm| {
            let limited = with(|one| (one.tpm, one.rpm) = (Some(100), rpm));
            (
                limited,
                load(|load| (load.tokens, load.requests) = (tokens, requests)),
            )
        };
        let all = [used(50, 0, None), used(20, 0, None), used(10, 3, Some(3))];
        let asked = |tokens| {
            let demand = Demand {
                streams: false,
                tokens,
            };
            choose(Strategy::UsageBased, &candidates(&all), demand, 0.0)
        };
        assert_eq!(asked(0), Some(1));
        assert_eq!(asked(80), Some(1));
        assert_eq!(asked(81), None);
    }

    prop_compose! {
        fn any_candidate()(
            weight in proptest::option::of(prop_oneof![Just(f64::NAN), Just(-1.0), 0.0..10.0]),
            rpm in proptest::option::of(0_u64..5),
            tpm in proptest::option::of(0_u64..50),
            in_flight in 0_u64..5,
            requests in 0_u64..5,
            tokens in 0_u64..50,
            latency in proptest::option::of(0.0..10.0_f64),
        ) -> (Deployment, Load) {
            let one = with(|one| (one.weight, one.rpm, one.tpm) = (weight, rpm, tpm));
            let known = load(|load| {
                (load.in_flight, load.requests, load.tokens) = (in_flight, requests, tokens);
                load.latency = latency;
            });
            (one, known)
        }
    }

    proptest! {
        #[test]
        fn somebody_is_chosen_and_nobody_beyond_limits(
            all in proptest::collection::vec(any_candidate(), 1..6),
            chance in 0.0..1.0_f64,
            tokens in 0_u64..60,
        ) {
            let all = candidates(&all);
            let demand = Demand { streams: false, tokens };
            prop_assert!(choose(Strategy::SimpleShuffle, &all, demand, chance).is_some());
            let least = choose(Strategy::LeastBusy, &all, demand, chance).unwrap();
            prop_assert!(all.iter().all(|one| all[least].load.in_flight <= one.load.in_flight));
            for strategy in [LATENCY, Strategy::UsageBased] {
                let chosen = choose(strategy, &all, demand, chance);
                let possible = all.iter().any(|one| is_within_limits(one, demand));
                prop_assert_eq!(chosen.is_some(), possible);
                prop_assert!(chosen.is_none_or(|place| is_within_limits(&all[place], demand)));
            }
        }

        #[test]
        fn nobody_without_weight_is_drawn_beside_one_that_has_it(
            weights in proptest::collection::vec(0_u32..3, 1..6),
            chance in 0.0..1.0_f64,
        ) {
            let place = drawn(weights.iter().map(|weight| f64::from(*weight)), chance);
            prop_assert_eq!(place.is_some(), weights.iter().any(|weight| *weight > 0));
            prop_assert!(place.is_none_or(|place| weights[place] > 0));
        }
    }
}
