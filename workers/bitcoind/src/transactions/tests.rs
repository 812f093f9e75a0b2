use super::*;
use proptest::prelude::*;

fn provider() -> ProviderId {
    "core-a".parse().unwrap()
}

fn transaction(content: &[u8]) -> TemplateTransaction {
    let wtxid = Sha256::digest(content).into();
    TemplateTransaction { data: hex::encode(content), txid: wtxid, wtxid, fee: None }
}

/// A bucket: stores objects and rebuilds a template's transactions as a submitter would.
#[derive(Default)]
struct Bucket(BTreeMap<String, (Vec<u8>, Timestamp)>);

impl Bucket {
    fn store(&mut self, now: Timestamp, packed: &Packed) {
        for Object { name, bytes } in &packed.objects {
            // An object that exists is kept as it is, with its age.
            self.0.entry(name.clone()).or_insert_with(|| (bytes.clone(), now));
        }
    }

    fn expire(&mut self, now: Timestamp) {
        self.0.retain(|_, (_, since)| now.millis_since(*since) < LIFETIME_MS);
    }

    fn rebuild(&self, template: TemplateId) -> Result<Vec<Vec<u8>>, InvalidObject> {
        let list = List::decode(&self.0[&list_name(&provider(), template)].0)?;
        let mut packs = BTreeMap::new();
        for id in list.packs() {
            let (bytes, _) =
                self.0.get(&pack_name(&provider(), id)).ok_or(InvalidObject::MissingPack(id))?;
            packs.insert(id, Pack::decode(id, bytes)?);
        }
        let found = list.resolve(|id| packs.get(&id))?;
        Ok(found.into_iter().map(<[u8]>::to_vec).collect())
    }
}

fn template(number: u8) -> TemplateId {
    TemplateId([number; 16])
}

#[test]
fn a_second_template_costs_only_what_is_new() {
    let (mut packer, mut bucket) = (Packer::new(provider()), Bucket::default());
    let first = [transaction(b"one"), transaction(b"two")];
    let packed = packer.pack(Timestamp(0), template(1), &first).unwrap();
    bucket.store(Timestamp(0), &packed);
    packer.stored(Timestamp(0), packed);

    let second = [transaction(b"two"), transaction(b"three"), transaction(b"one")];
    let packed = packer.pack(Timestamp(10), template(2), &second).unwrap();
    assert_eq!(packed.fresh.len(), 1);
    bucket.store(Timestamp(10), &packed);
    packer.stored(Timestamp(10), packed);
    assert_eq!(
        bucket.rebuild(template(2)).unwrap(),
        [b"two".to_vec(), b"three".to_vec(), b"one".to_vec()]
    );

    let packed = packer.pack(Timestamp(20), template(3), &second).unwrap();
    assert_eq!(packed.objects.len(), 1, "only a list");
}

#[test]
fn what_was_packed_but_not_stored_is_packed_again() {
    let packer = Packer::new(provider());
    let transactions = [transaction(b"one")];
    let first = packer.pack(Timestamp(0), template(1), &transactions).unwrap();
    let again = packer.pack(Timestamp(0), template(2), &transactions).unwrap();
    assert_eq!(first.objects[0], again.objects[0]);
}

#[test]
fn a_pack_under_the_name_of_another_is_refused() {
    let packer = Packer::new(provider());
    let packed = packer.pack(Timestamp(0), template(1), &[transaction(b"one")]).unwrap();
    let list = List::decode(&packed.objects[1].bytes).unwrap();
    let id = list.packs()[0];
    assert!(Pack::decode(id, &packed.objects[0].bytes).is_ok());
    let forged = Pack::decode(id, b"");
    assert_eq!(forged, Err(InvalidObject::Content { named: id }));
    assert_eq!(list.resolve(|_| None), Err(InvalidObject::MissingPack(id)));
    let short = Pack(vec![]);
    let missing = InvalidObject::MissingTransaction { pack: id, index: 0 };
    assert_eq!(list.resolve(|_| Some(&short)), Err(missing));
}

#[test]
fn a_list_that_lies_about_itself_is_refused() {
    let wire = |packs, pack, index| ListWire { packs, pack, index }.encode_to_vec();
    for lie in [
        wire(vec![vec![0; 16]], vec![1], vec![0]),
        wire(vec![vec![0; 15]], vec![0], vec![0]),
        wire(vec![vec![0; 16]], vec![0, 0], vec![0]),
        wire(vec![vec![0; 16]], vec![0; MAX_TRANSACTIONS + 1], vec![0; MAX_TRANSACTIONS + 1]),
        vec![0xff],
    ] {
        assert!(matches!(List::decode(&lie), Err(InvalidObject::Form(_))));
    }
}

proptest! {
    /// Whatever stays in the mempool for however long: within an hour of its list, a template's
    /// transactions can be rebuilt from what the bucket still holds.
    #[test]
    fn a_template_can_be_rebuilt_while_it_may_be_mined_on(
        steps in prop::collection::vec(
            (prop::collection::btree_set(0_u8..40, 0..20), 0_u64..40, any::<bool>()),
            1..40,
        ),
    ) {
        let (mut packer, mut bucket) = (Packer::new(provider()), Bucket::default());
        let mut now = Timestamp(1_000_000_000);
        let mut published: Vec<(TemplateId, Timestamp, Vec<Vec<u8>>)> = Vec::new();
        for (number, (contents, minutes, crash)) in steps.into_iter().enumerate() {
            now = now.plus_millis(minutes * 60_000);
            bucket.expire(now);
            if crash {
                packer = Packer::new(provider());
            }
            let contents: Vec<Vec<u8>> = contents.into_iter().map(|content| vec![content]).collect();
            let transactions: Vec<_> = contents.iter().map(|bytes| transaction(bytes)).collect();
            let id = template(u8::try_from(number).unwrap());
            let packed = packer.pack(now, id, &transactions).unwrap();
            bucket.store(now, &packed);
            packer.stored(now, packed);
            published.push((id, now, contents));
            for (id, since, contents) in &published {
                if now.millis_since(*since) < LIFETIME_MS - REPACK_AFTER_MS {
                    let rebuilt = bucket.rebuild(*id);
                    prop_assert_eq!(rebuilt.as_ref(), Ok(contents));
                }
            }
        }
    }
}
