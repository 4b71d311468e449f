use std::collections::HashSet;

use super::*;
use crate::config::enforcement::Percentage;
use crate::config::record::BodyPolicy;

fn sampler(policy: RecordPolicy, firsts: u8) -> Sampler {
    let record = RecordSettings {
        policy,
        valid_rate: 2,
        violation_rate: 1,
        bodies: BodyPolicy::Truncated,
        body_limit: 0,
        environment: "test".into(),
    };
    let sampling = SamplingSettings {
        rates: rates(100),
        operations: Vec::new(),
        firsts,
        escalate: Duration::from_mins(2),
        escalate_rate: 1,
    };
    Sampler::new(&record, &sampling)
}

fn rates(percent: u32) -> Rates {
    Rates { validate: Percentage::percent(percent), keep: Percentage::percent(percent) }
}

fn sample(kind: u64) -> ExchangeSample {
    ExchangeSample { id: 0, operation: 1, kind, shape: 0, consumer: 0, rates: rates(100) }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn sampled_keeps_the_first_of_each_kind_a_rate_of_valid_ones_and_violations_by_kind() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let mut keeps =
        |kind, violations: &[u64], at| sampler.keep_reason(&sample(kind), violations, at);
    assert_eq!(keeps(1, &[], at(0)), Some(KeepReason::First));
    assert_eq!(keeps(1, &[], at(0)), Some(KeepReason::Rate));
    assert_eq!(keeps(1, &[], at(0)), Some(KeepReason::Rate));
    assert_eq!(keeps(1, &[], at(0)), None);
    assert_eq!(keeps(2, &[], at(0)), Some(KeepReason::First));
    assert_eq!(keeps(1, &[7], at(0)), Some(KeepReason::Violation));
    assert_eq!(keeps(1, &[7], at(0)), None);
    assert_eq!(keeps(1, &[7, 8], at(0)), Some(KeepReason::Violation));
    assert_eq!(keeps(1, &[7], at(1)), Some(KeepReason::Violation));
}

#[test]
fn all_keeps_everything_and_violations_keeps_no_valid_exchange() {
    let mut all = sampler(RecordPolicy::All, 1);
    let mut violations = sampler(RecordPolicy::Violations, 1);
    for _ in 0..50 {
        assert_eq!(all.keep_reason(&sample(1), &[], at(0)), Some(KeepReason::All));
        assert_eq!(violations.keep_reason(&sample(1), &[], at(0)), None);
    }
    assert_eq!(violations.keep_reason(&sample(1), &[3], at(0)), Some(KeepReason::Violation));
}

#[test]
fn replicas_agree_and_kept_exchanges_are_part_of_the_validated() {
    let (mut one, mut other) =
        (sampler(RecordPolicy::Sampled, 0), sampler(RecordPolicy::Sampled, 0));
    let mut validated = 0;
    for id in 0..10_000_u64 {
        let rates = Rates { validate: Percentage::percent(10), keep: Percentage::percent(2) };
        let sample = ExchangeSample { id: hash(&id.to_le_bytes()), rates, ..sample(1) };
        let taken = one.should_validate(&sample, at(0));
        assert_eq!(taken, other.should_validate(&sample, at(99)), "the id alone decides");
        validated += u32::from(taken);
        if sample.rates.keep.includes(sample.id) {
            assert!(taken, "what is kept is validated");
        }
    }
    assert!((800..1200).contains(&validated), "{validated} of 10,000 at 10 %");
}

#[test]
fn every_rare_shape_is_validated_and_kept_at_one_percent() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let mut kept = HashSet::new();
    for id in 0..100_000_u64 {
        let shape = if id % 500 == 0 { id / 500 + 1 } else { 0 };
        let id = hash(&id.to_le_bytes());
        let sample = ExchangeSample { id, shape, rates: rates(1), ..sample(1) };
        if sampler.should_validate(&sample, at(0))
            && sampler.keep_reason(&sample, &[], at(0)).is_some()
        {
            kept.insert(shape);
        }
    }
    assert_eq!(kept.len(), 201);
}

#[test]
fn unbounded_consumers_do_not_hide_a_new_shape() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    for consumer in 0..100_000 {
        sampler.should_validate(&ExchangeSample { consumer, rates: rates(0), ..sample(1) }, at(0));
    }
    let mut validates = |shape| {
        let consumer = hash(b"yet another");
        sampler.should_validate(
            &ExchangeSample { consumer, shape, rates: rates(0), ..sample(1) },
            at(0),
        )
    };
    assert!(validates(9));
    assert!(!validates(9));
}

#[test]
fn a_first_violation_escalates_its_operation_for_a_while() {
    let mut sampler = sampler(RecordPolicy::Sampled, 0);
    let of = |operation| ExchangeSample { operation, rates: rates(0), ..sample(1) };
    assert!(!sampler.should_validate(&of(1), at(0)));
    sampler.record_new_violation(1, at(0));
    assert!(sampler.should_validate(&of(1), at(119)));
    assert_eq!(sampler.keep_reason(&of(1), &[], at(119)), Some(KeepReason::Escalated));
    assert_eq!(sampler.keep_reason(&of(1), &[], at(119)), None, "at a rate of its own");
    assert!(!sampler.should_validate(&of(2), at(0)), "others go on as before");
    assert!(!sampler.should_validate(&of(1), at(120)));
}

#[test]
fn a_changed_contract_escalates_and_the_first_one_does_not() {
    let mut sampler = sampler(RecordPolicy::Sampled, 0);
    let one = ExchangeSample { rates: rates(0), ..sample(1) };
    sampler.record_contract(5, 1, at(0));
    sampler.record_contract(5, 1, at(0));
    assert!(!sampler.should_validate(&one, at(1)));
    sampler.record_contract(5, 2, at(1));
    assert!(sampler.should_validate(&one, at(1)));
    assert!(!sampler.should_validate(&one, at(121)));
}

#[test]
fn under_overload_new_and_suspected_exchanges_go_first() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let worth = |sampler: &mut Sampler, consumer, suspected, at| {
        (0..100)
            .filter(|_| {
                sampler.worth_validating(&ExchangeSample { consumer, ..sample(1) }, suspected, at)
            })
            .count()
    };
    assert_eq!(worth(&mut sampler, 1, false, at(100)), VALIDATED_PER_KIND as usize);
    assert_eq!(worth(&mut sampler, 2, true, at(100)), VALIDATED_PER_SUSPECT as usize);
    assert_eq!(worth(&mut sampler, 1, false, at(109)), 0, "it came lately");
    assert_eq!(worth(&mut sampler, 1, false, at(110)), VALIDATED_PER_KIND as usize);
    sampler.keep_reason(&sample(1), &[7], at(120));
    assert_eq!(
        worth(&mut sampler, 3, false, at(121)),
        VALIDATED_PER_SUSPECT as usize,
        "it was violated lately"
    );
    assert_eq!(worth(&mut sampler, 4, false, at(190)), VALIDATED_PER_KIND as usize);
}

#[test]
fn memory_is_bounded_and_further_kinds_share_one_rate() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    for kind in 1..=MAX_KINDS as u64 + 10 {
        sampler.keep_reason(&ExchangeSample { operation: kind, ..sample(kind) }, &[kind], at(0));
        sampler.record_new_violation(kind, at(0));
        sampler.record_contract(kind, 1, at(0));
    }
    assert!(sampler.violations.len() <= MAX_KINDS + 1);
    assert!(sampler.recent.suspected.len() <= MAX_KINDS);
    assert!(sampler.escalation.operations.len() <= MAX_KINDS);
    assert!(sampler.escalation.contracts.len() <= MAX_KINDS);
}
