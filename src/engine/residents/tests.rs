use std::cell::Cell;
use std::path::Path;

use super::*;
use crate::engine::Error;

fn files() -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Files::in_folder(&folder.join("tests/fixtures/engine/peft_training/base")).unwrap()
}

fn named(identity: &str, dtype: Option<Dtype>) -> Resident {
    Resident {
        identity: identity.into(),
        dtype,
        device: Device::Cpu,
    }
}

/// Takes a model at a time that is a second later with every look at the clock.
fn take(residents: &Residents, wanted: &Resident, clock: &Cell<f64>) -> Result<Lent> {
    let seconds = || {
        clock.set(clock.get() + 1.0);
        clock.get()
    };
    let ask = Ask {
        name: &wanted.identity,
        seconds: &seconds,
        progress: &|_, _| (),
    };
    residents.weights(wanted, &ask, || Ok(files()))
}

fn size() -> u64 {
    stored::of(&files()).unwrap().bytes_as(None)
}

fn names(residents: &Residents) -> Vec<String> {
    residents.loaded().into_iter().map(|it| it.name).collect()
}

#[test]
fn equal_models_share_storage_and_are_read_once() {
    let (residents, clock) = (Residents::default(), Cell::new(0.0));
    let first = take(&residents, &named("a", None), &clock).unwrap();
    assert!(first.read_in.is_some_and(|seconds| seconds > 0.0));
    let again = take(&residents, &named("a", None), &clock).unwrap();
    assert_eq!(again.read_in, None);
    assert_eq!(first.embedding.data_ptr(), again.embedding.data_ptr());
    let half = take(&residents, &named("a", Some(Dtype::Bfloat16)), &clock).unwrap();
    assert_eq!(half.embedding.kind(), Kind::BFloat16);
}

#[test]
fn a_changed_model_is_made_once_counted_and_gives_way_as_any_other() {
    let residents = Residents::new(Some(2 * size()));
    let clock = Cell::new(0.0);
    let base = take(&residents, &named("a", None), &clock).unwrap();
    let ask = Ask {
        name: "a@job*2",
        seconds: &|| 9.0,
        progress: &|_, _| (),
    };
    let made = base
        .changed("job*2", &ask, || base.deep_copy(None))
        .unwrap();
    assert_ne!(made.embedding.data_ptr(), base.embedding.data_ptr());
    let again = base.changed("job*2", &ask, || panic!("made twice"));
    assert_eq!(
        again.unwrap().embedding.data_ptr(),
        made.embedding.data_ptr()
    );
    let shown = residents.loaded();
    assert_eq!(
        (shown[1].name.as_str(), shown[1].bytes, shown[1].users),
        ("a@job*2", size(), 1)
    );
    let no_room = base.changed("job*3", &ask, || panic!("made without room"));
    assert!(matches!(no_room, Err(Error::OutOfMemory(_))));
    drop(made);
    base.changed("job*3", &ask, || base.deep_copy(None))
        .unwrap();
    assert_eq!(names(&residents), ["a", "a@job*2"]);
}

#[test]
fn the_stored_number_type_asked_for_by_name_is_the_same_copy() {
    let (residents, clock) = (Residents::default(), Cell::new(0.0));
    let stored = take(&residents, &named("a", None), &clock).unwrap();
    assert_eq!(stored.embedding.kind(), Kind::Float);
    let named = take(&residents, &named("a", Some(Dtype::Float32)), &clock).unwrap();
    assert_eq!(stored.embedding.data_ptr(), named.embedding.data_ptr());
    assert_eq!(residents.loaded().len(), 1);
}

#[test]
fn users_are_counted_and_bytes_and_seconds_told() {
    let (residents, clock) = (Residents::default(), Cell::new(0.0));
    let first = take(&residents, &named("a", None), &clock).unwrap();
    let second = first.again().unwrap();
    let [line] = &residents.loaded()[..] else {
        panic!("one model");
    };
    assert_eq!((line.users, line.bytes), (2, size()));
    assert_eq!((line.dtype, line.device), (Some("float32"), Device::Cpu));
    assert!(line.load_seconds.is_some());
    drop((first, second));
    assert_eq!(residents.loaded()[0].users, 0);
}

#[test]
fn the_model_that_was_used_least_lately_makes_room() {
    let residents = Residents::new(Some(2 * size()));
    let clock = Cell::new(0.0);
    for name in ["a", "b", "a", "c"] {
        take(&residents, &named(name, None), &clock).unwrap();
    }
    assert_eq!(names(&residents), ["a", "c"]);
}

#[test]
fn a_model_in_use_is_never_evicted_and_one_that_is_too_large_is_refused() {
    let residents = Residents::new(Some(size()));
    let clock = Cell::new(0.0);
    let held = take(&residents, &named("a", None), &clock).unwrap();
    let error = take(&residents, &named("b", None), &clock).err().unwrap();
    assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
    drop(held);
    take(&residents, &named("b", None), &clock).unwrap();
    assert_eq!(names(&residents), ["b"]);

    let small = Residents::new(Some(size() - 1));
    let error = take(&small, &named("a", None), &clock).err().unwrap();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(small.loaded().is_empty());
}

#[test]
fn a_model_that_cannot_be_read_leaves_no_line() {
    let residents = Residents::default();
    let ask = Ask {
        name: "a",
        seconds: &|| 0.0,
        progress: &|_, _| (),
    };
    let lost = residents.weights(&named("a", None), &ask, || {
        let kept = ["config.json", "model.safetensors"];
        let whole = files();
        let path = |name: &str| whole.require(name).map(Path::to_owned);
        let config = path(kept[0])?;
        Ok([
            (kept[0].to_owned(), config),
            (kept[1].to_owned(), "/nowhere".into()),
        ]
        .into_iter()
        .collect())
    });
    assert!(lost.is_err());
    assert!(residents.loaded().is_empty());
}

#[test]
fn two_threads_that_want_a_model_at_once_read_it_once() {
    let residents = Residents::default();
    let pointers: Vec<usize> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let lent = take(&residents, &named("a", None), &Cell::new(0.0)).unwrap();
                    lent.embedding.data_ptr() as usize
                })
            })
            .collect();
        workers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(residents.loaded().len(), 1);
    assert!(pointers.iter().all(|pointer| *pointer == pointers[0]));
}

#[test]
fn reading_tells_the_bytes_done_of_all_and_a_second_asker_hears_nothing() {
    let residents = Residents::default();
    let told = std::cell::RefCell::new(Vec::new());
    let ask = Ask {
        name: "a",
        seconds: &|| 0.0,
        progress: &|done, total| told.borrow_mut().push((done, total)),
    };
    let read = || residents.weights(&named("a", None), &ask, || Ok(files()));
    let _first = read().unwrap();
    let heard = told.borrow().clone();
    assert!(heard.len() > 3 && heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), Some(&(size(), size())));
    let _again = read().unwrap();
    assert_eq!(told.borrow().len(), heard.len());
}
