//! Which template and tip are current.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ingress::domain::selection::{NotFollowed, Selection};
use ingress::testing::work::{HARD, hash, provider, template, tip};
use std::time::Duration;
use subjects::{
    BlockHash, Payload, TemplateId,
    templates::{New, Tip},
};

const SILENCE: Duration = Duration::from_secs(120);

struct Heard {
    selection: Selection,
    now: Duration,
}

impl Heard {
    fn of(providers: &[&str]) -> Self {
        let providers: Vec<_> = providers.iter().map(|name| provider(name)).collect();
        Self { selection: Selection::new(&providers, SILENCE), now: Duration::from_secs(1_000) }
    }

    fn template(&mut self, new: &New) -> Result<(), NotFollowed> {
        let id = TemplateId::of_payload(&new.encode());
        self.selection.template(self.now, id, new)
    }

    fn tip(&mut self, tip: &Tip) -> Result<(), NotFollowed> {
        self.selection.tip(self.now, tip)
    }

    /// `name` publishes a template on a block and the block as its tip.
    fn block(&mut self, name: &str, byte: u8, height: u32) {
        let new = by(name, template(u64::from(byte), height, Some(hash(byte))));
        self.template(&new).unwrap();
        self.tip(&tip(hash(byte), height, HARD, &new)).unwrap();
    }

    /// Tip, template's provider, and how often the tip has changed.
    fn current(&self) -> (BlockHash, String, u64) {
        let work = self.selection.work().unwrap();
        (work.tip.prevhash(), work.template.provider().to_string(), work.tips)
    }
}

fn by(name: &str, new: New) -> New {
    New { provider: provider(name), ..new }
}

#[test]
fn a_tip_activates_the_template_that_it_names_and_a_fuller_one_follows() {
    let mut heard = Heard::of(&["main"]);
    let prepared = template(1, 8, None);
    heard.template(&prepared).unwrap();
    assert!(heard.selection.work().is_none(), "a template alone is not work");
    heard.tip(&tip(hash(7), 8, HARD, &prepared)).unwrap();
    assert_eq!(heard.selection.work().unwrap().template.id(), prepared.id());

    let full = template(2, 8, Some(hash(7)));
    heard.template(&full).unwrap();
    assert_eq!(heard.selection.work().unwrap().template.id(), full.id());

    let next = template(3, 9, None);
    heard.template(&next).unwrap();
    let work = heard.selection.work().unwrap();
    assert_eq!((work.template.id(), work.tips), (full.id(), 0));
    assert_eq!(work.prepared.as_ref().unwrap().id(), next.id());
}

#[test]
fn a_tip_whose_template_is_lacking_is_refused_until_one_on_it_comes() {
    let mut heard = Heard::of(&["main"]);
    heard.block("main", 1, 8);
    let lacking = template(50, 9, None);
    let refused = heard.tip(&tip(hash(2), 9, HARD, &lacking));
    assert!(matches!(refused, Err(NotFollowed::UnknownTemplate { .. })), "{refused:?}");
    assert_eq!(heard.current(), (hash(1), "main".into(), 0), "the old work goes on");
    heard.template(&template(51, 9, Some(hash(2)))).unwrap();
    assert_eq!(heard.current(), (hash(2), "main".into(), 1));
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let mut heard = Heard::of(&["main"]);
    heard.block("main", 1, 8);
    let unfit = template(2, 10, Some(hash(2)));
    heard.template(&unfit).unwrap();
    let refused = heard.tip(&tip(hash(2), 9, HARD, &unfit));
    assert!(matches!(refused, Err(NotFollowed::Unfit { .. })), "{refused:?}");
    let refused = heard.tip(&tip(hash(3), 9, 0, &unfit));
    assert!(matches!(refused, Err(NotFollowed::Nbits { .. })), "{refused:?}");
    let mut wrong = template(4, 9, Some(hash(1)));
    wrong.coinbase_outputs.clear();
    let refused = heard.template(&wrong);
    assert!(matches!(refused, Err(NotFollowed::Template { .. })), "{refused:?}");
    let refused = heard.template(&by("stranger", template(5, 9, Some(hash(1)))));
    assert!(matches!(refused, Err(NotFollowed::UnknownProvider(_))), "{refused:?}");
    assert_eq!(heard.current(), (hash(1), "main".into(), 0));
}

#[test]
fn the_preferred_provider_is_followed_on_one_tip_and_the_highest_otherwise() {
    let mut heard = Heard::of(&["main", "second"]);
    heard.block("second", 1, 8);
    assert_eq!(heard.current(), (hash(1), "second".into(), 0));
    heard.block("main", 1, 8);
    assert_eq!(heard.current(), (hash(1), "main".into(), 0), "same tip, better provider");
    heard.block("second", 2, 9);
    assert_eq!(heard.current(), (hash(2), "second".into(), 1), "higher");
    heard.block("main", 3, 9);
    assert_eq!(heard.current(), (hash(2), "second".into(), 1), "of one height the first stays");
    heard.block("main", 4, 10);
    assert_eq!(heard.current(), (hash(4), "main".into(), 2));
}

#[test]
fn a_tip_that_everybody_has_left_is_never_returned_to() {
    let mut heard = Heard::of(&["main", "slow"]);
    heard.block("main", 1, 8);
    heard.block("main", 2, 9);
    heard.block("slow", 1, 8);
    heard.now += SILENCE * 2;
    heard.template(&by("slow", template(60, 8, Some(hash(1))))).unwrap();
    heard.selection.tick(heard.now);
    assert_eq!(heard.current(), (hash(2), "main".into(), 1), "the lane is past that tip");
}

#[test]
fn a_reorganisation_is_followed_there_and_back() {
    let mut heard = Heard::of(&["main"]);
    heard.block("main", 1, 8);
    heard.block("main", 2, 9);
    heard.block("main", 3, 9);
    assert_eq!(heard.current(), (hash(3), "main".into(), 2), "same height, same provider");
    heard.block("main", 2, 9);
    assert_eq!(heard.current(), (hash(2), "main".into(), 3), "and back");
    heard.block("main", 1, 8);
    assert_eq!(heard.current(), (hash(1), "main".into(), 4), "also to a lower one");
}

#[test]
fn a_silent_provider_is_passed_over_while_another_speaks() {
    let mut heard = Heard::of(&["main", "second"]);
    heard.block("main", 1, 8);
    heard.block("second", 1, 8);
    heard.now += SILENCE + Duration::from_secs(1);
    heard.selection.tick(heard.now);
    assert_eq!(heard.current().1, "main", "all are silent: nobody is better");
    heard.template(&by("second", template(60, 8, Some(hash(1))))).unwrap();
    assert_eq!(heard.current(), (hash(1), "second".into(), 0));
    heard.template(&template(61, 8, Some(hash(1)))).unwrap();
    assert_eq!(heard.current(), (hash(1), "main".into(), 0), "it speaks again");
}

#[test]
fn a_template_on_the_tip_confirms_the_tip() {
    let mut heard = Heard::of(&["main"]);
    assert_eq!(heard.selection.unconfirmed_for(heard.now), None);
    heard.block("main", 1, 8);
    heard.now += Duration::from_secs(600);
    heard.template(&template(2, 9, None)).unwrap();
    assert_eq!(heard.selection.unconfirmed_for(heard.now), Some(Duration::from_secs(600)));
    heard.template(&template(3, 8, Some(hash(1)))).unwrap();
    assert_eq!(heard.selection.unconfirmed_for(heard.now), Some(Duration::ZERO));
}

#[test]
fn prepared_templates_survive_any_number_of_fuller_ones() {
    let mut heard = Heard::of(&["main"]);
    heard.block("main", 1, 8);
    let prepared = template(2, 9, None);
    heard.template(&prepared).unwrap();
    for number in 3..100 {
        heard.template(&template(number, 8, Some(hash(1)))).unwrap();
    }
    heard.tip(&tip(hash(2), 9, HARD, &prepared)).unwrap();
    assert_eq!(heard.selection.work().unwrap().template.id(), prepared.id());
}
