use std::collections::HashSet;

use super::*;
use crate::config::enforcement::Share;
use crate::config::record::Bodies;

fn sampler(policy: RecordPolicy, firsts: u8) -> Sampler {
    let record = RecordSettings {
        policy,
        valid_rate: 2,
        violation_rate: 1,
        bodies: Bodies::Truncated,
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
    Rates { judge: Share::percent(percent), keep: Share::percent(percent) }
}

fn sample(kind: u64) -> Sample {
    Sample { id: 0, operation: 1, kind, shape: 0, consumer: 0, rates: rates(100) }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn sampled_keeps_firsts_some_valid_ones_and_violations_by_kind() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let mut keeps = |kind, violations: &[u64], at| sampler.keeps(&sample(kind), violations, at);
    assert_eq!(keeps(1, &[], at(0)), Some(Kept::First));
    assert_eq!(keeps(1, &[], at(0)), Some(Kept::Rate));
    assert_eq!(keeps(1, &[], at(0)), Some(Kept::Rate));
    assert_eq!(keeps(1, &[], at(0)), None);
    assert_eq!(keeps(2, &[], at(0)), Some(Kept::First));
    assert_eq!(keeps(1, &[7], at(0)), Some(Kept::Violation));
    assert_eq!(keeps(1, &[7], at(0)), None);
    assert_eq!(keeps(1, &[7, 8], at(0)), Some(Kept::Violation));
    assert_eq!(keeps(1, &[7], at(1)), Some(Kept::Violation));
}

#[test]
fn the_other_policies_do_what_they_are_called() {
    let mut all = sampler(RecordPolicy::All, 1);
    let mut violations = sampler(RecordPolicy::Violations, 1);
    for _ in 0..50 {
        assert_eq!(all.keeps(&sample(1), &[], at(0)), Some(Kept::All));
        assert_eq!(violations.keeps(&sample(1), &[], at(0)), None);
    }
    assert_eq!(violations.keeps(&sample(1), &[3], at(0)), Some(Kept::Violation));
}

#[test]
fn replicas_agree_and_what_is_kept_is_part_of_what_is_judged() {
    let (mut one, mut other) =
        (sampler(RecordPolicy::Sampled, 0), sampler(RecordPolicy::Sampled, 0));
    let mut judged = 0;
    for id in 0..10_000_u64 {
        let rates = Rates { judge: Share::percent(10), keep: Share::percent(2) };
        let sample = Sample { id: hash(&id.to_le_bytes()), rates, ..sample(1) };
        let taken = one.judges(&sample, at(0));
        assert_eq!(taken, other.judges(&sample, at(99)), "the id alone decides");
        judged += u32::from(taken);
        if sample.rates.keep.includes(sample.id) {
            assert!(taken, "what is kept is validated");
        }
    }
    assert!((800..1200).contains(&judged), "{judged} of 10,000 at 10 %");
}

#[test]
fn every_rare_shape_is_judged_and_kept_at_one_percent() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let mut kept = HashSet::new();
    for id in 0..100_000_u64 {
        let shape = if id % 500 == 0 { id / 500 + 1 } else { 0 };
        let id = hash(&id.to_le_bytes());
        let sample = Sample { id, shape, rates: rates(1), ..sample(1) };
        if sampler.judges(&sample, at(0)) && sampler.keeps(&sample, &[], at(0)).is_some() {
            kept.insert(shape);
        }
    }
    assert_eq!(kept.len(), 201);
}

#[test]
fn consumers_without_end_do_not_hide_a_new_shape() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    for consumer in 0..100_000 {
        sampler.judges(&Sample { consumer, rates: rates(0), ..sample(1) }, at(0));
    }
    let mut judges = |shape| {
        let consumer = hash(b"yet another");
        sampler.judges(&Sample { consumer, shape, rates: rates(0), ..sample(1) }, at(0))
    };
    assert!(judges(9));
    assert!(!judges(9));
}

#[test]
fn after_a_first_violation_its_operation_is_judged_whole_for_a_while() {
    let mut sampler = sampler(RecordPolicy::Sampled, 0);
    let of = |operation| Sample { operation, rates: rates(0), ..sample(1) };
    assert!(!sampler.judges(&of(1), at(0)));
    sampler.note_new_violation(1, at(0));
    assert!(sampler.judges(&of(1), at(119)));
    assert_eq!(sampler.keeps(&of(1), &[], at(119)), Some(Kept::Escalated));
    assert_eq!(sampler.keeps(&of(1), &[], at(119)), None, "at a rate of its own");
    assert!(!sampler.judges(&of(2), at(0)), "others go on as before");
    assert!(!sampler.judges(&of(1), at(120)));
}

#[test]
fn another_contract_is_something_new_and_the_first_one_is_not() {
    let mut sampler = sampler(RecordPolicy::Sampled, 0);
    let one = Sample { rates: rates(0), ..sample(1) };
    sampler.note_contract(5, 1, at(0));
    sampler.note_contract(5, 1, at(0));
    assert!(!sampler.judges(&one, at(1)));
    sampler.note_contract(5, 2, at(1));
    assert!(sampler.judges(&one, at(1)));
    assert!(!sampler.judges(&one, at(121)));
}

#[test]
fn when_time_is_short_what_is_new_or_suspected_goes_first() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    let worth = |sampler: &mut Sampler, consumer, suspected, at| {
        (0..100)
            .filter(|_| sampler.is_worth_it(&Sample { consumer, ..sample(1) }, suspected, at))
            .count()
    };
    assert_eq!(worth(&mut sampler, 1, false, at(100)), FEW as usize);
    assert_eq!(worth(&mut sampler, 2, true, at(100)), SOME as usize);
    assert_eq!(worth(&mut sampler, 1, false, at(109)), 0, "it came lately");
    assert_eq!(worth(&mut sampler, 1, false, at(110)), FEW as usize);
    sampler.keeps(&sample(1), &[7], at(120));
    assert_eq!(worth(&mut sampler, 3, false, at(121)), SOME as usize, "it was violated lately");
    assert_eq!(worth(&mut sampler, 4, false, at(190)), FEW as usize);
}

#[test]
fn memory_is_bounded_and_kinds_beyond_the_bound_share_one_rate() {
    let mut sampler = sampler(RecordPolicy::Sampled, 1);
    for kind in 1..=MOST_KINDS as u64 + 10 {
        sampler.keeps(&Sample { operation: kind, ..sample(kind) }, &[kind], at(0));
        sampler.note_new_violation(kind, at(0));
        sampler.note_contract(kind, 1, at(0));
    }
    assert!(sampler.violations.len() <= MOST_KINDS + 1);
    assert!(sampler.lately.suspected.len() <= MOST_KINDS);
    assert!(sampler.escalation.operations.len() <= MOST_KINDS);
    assert!(sampler.escalation.contracts.len() <= MOST_KINDS);
}
