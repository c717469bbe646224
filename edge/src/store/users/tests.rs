use std::os::unix::fs::PermissionsExt;

use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("busbar-users-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.join(file))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PASSWORD: &str = "correct horse";

#[test]
fn code_survives_a_restart_works_once_and_is_gone() {
    let scratch = Scratch::new("enrol");
    let code = UserStore::open(&scratch.0)
        .unwrap()
        .enrolment_code()
        .unwrap();
    assert_eq!(code.len(), 26, "128 bit in base 32");
    assert_eq!(scratch.mode(CODE), 0o600);

    let store = UserStore::open(&scratch.0).unwrap();
    assert_eq!(store.enrolment_code().as_deref(), Some(&*code));
    let wrong = store.enrol(&"a".repeat(26), "ada", PASSWORD);
    assert!(matches!(wrong, Err(UserError::WrongCode)), "{wrong:?}");
    assert!(matches!(
        store.enrol("", "ada", PASSWORD),
        Err(UserError::WrongCode)
    ));
    store.enrol(&code, "ada", PASSWORD).unwrap();
    assert!(matches!(
        store.enrol(&code, "bob", PASSWORD),
        Err(UserError::Enrolled)
    ));

    assert!(!scratch.0.join(CODE).exists());
    assert_eq!(scratch.mode(USERS), 0o600);
    let again = UserStore::open(&scratch.0).unwrap();
    assert!(again.enrolled());
    assert_eq!(again.verify("ada", PASSWORD), Some(Role::Operator));
    assert_eq!(again.verify("ada", "correct horsf"), None);
    assert_eq!(again.verify("bob", PASSWORD), None);
    assert_eq!(again.list(), [("ada".to_owned(), Role::Operator)]);
}

#[test]
fn a_code_left_by_a_power_cut_is_removed() {
    let scratch = Scratch::new("left");
    let store = UserStore::open(&scratch.0).unwrap();
    store
        .enrol(&store.enrolment_code().unwrap(), "ada", PASSWORD)
        .unwrap();
    fs::write(scratch.0.join(CODE), "a".repeat(26)).unwrap();
    assert_eq!(UserStore::open(&scratch.0).unwrap().enrolment_code(), None);
    assert!(!scratch.0.join(CODE).exists());
}

#[test]
fn damage_is_an_error_and_never_reopens_enrolment() {
    for content in ["", "{", "[]", r#"{"ada":{"role":"king","hash":""}}"#] {
        let scratch = Scratch::new("damaged");
        fs::create_dir_all(&scratch.0).unwrap();
        fs::write(scratch.0.join(USERS), content).unwrap();
        let opened = UserStore::open(&scratch.0).map(|_| ());
        assert!(
            matches!(opened, Err(UserError::Damaged { .. })),
            "{content}: {opened:?}"
        );
    }
}

#[test]
fn unfit_names_and_passwords_are_refused() {
    let scratch = Scratch::new("unfit");
    let store = UserStore::open(&scratch.0).unwrap();
    let code = store.enrolment_code().unwrap();
    let long = "a".repeat(33);
    for name in ["", "Ada", "1a", "a b", "../a", "é", &long] {
        let refused = store.enrol(&code, name, PASSWORD);
        assert!(
            matches!(refused, Err(UserError::Name(_))),
            "{name}: {refused:?}"
        );
    }
    for password in ["", "123456789", "äöüäöüäöü", &"x".repeat(257)] {
        let refused = store.enrol(&code, "ada", password);
        assert!(
            matches!(refused, Err(UserError::Password(_))),
            "{refused:?}"
        );
    }
    store.enrol(&code, "ada", PASSWORD).unwrap();
    let twice = store.add("ada", PASSWORD, Role::Viewer);
    assert!(matches!(twice, Err(UserError::Exists(_))));
    store.add("bob", PASSWORD, Role::Viewer).unwrap();
    assert_eq!(store.verify("bob", PASSWORD), Some(Role::Viewer));
}

#[test]
fn one_of_many_enrolments_at_once_wins() {
    let scratch = Scratch::new("race");
    let store = UserStore::open(&scratch.0).unwrap();
    let code = store.enrolment_code().unwrap();
    let won = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4)
            .map(|i| {
                let (store, code) = (&store, &code);
                scope.spawn(move || store.enrol(code, &format!("u{i}"), PASSWORD).is_ok())
            })
            .collect();
        tries
            .into_iter()
            .map(|t| t.join().unwrap())
            .filter(|&won| won)
            .count()
    });
    assert_eq!(won, 1);
    assert_eq!(store.list().len(), 1);
}

/// RFC 4648, clause 10, without padding and in lower case.
#[test]
fn base32_is_rfc_4648() {
    let rows = [
        ("", ""),
        ("f", "my"),
        ("fo", "mzxq"),
        ("foo", "mzxw6"),
        ("foob", "mzxw6yq"),
        ("fooba", "mzxw6ytb"),
        ("foobar", "mzxw6ytboi"),
    ];
    for (bytes, text) in rows {
        assert_eq!(base32(bytes.as_bytes()), text);
    }
    assert_ne!(random_text::<16>().unwrap(), random_text::<16>().unwrap());
}

#[test]
fn passwords_change_and_users_go_but_not_the_last_operator() {
    let scratch = Scratch::new("change");
    let store = UserStore::open(&scratch.0).unwrap();
    let code = store.enrolment_code().unwrap();
    store.enrol(&code, "ada", PASSWORD).unwrap();
    store.add("bob", PASSWORD, Role::Viewer).unwrap();
    let last = store.remove("ada");
    assert!(matches!(last, Err(UserError::LastOperator(_))), "{last:?}");

    store.set_password("bob", "another horse").unwrap();
    assert_eq!(store.verify("bob", PASSWORD), None);
    let short = store.set_password("bob", "short");
    assert!(matches!(short, Err(UserError::Password(5))), "{short:?}");
    for unknown in [
        store.set_password("eve", PASSWORD),
        store.remove("eve").map(|_| ()),
    ] {
        assert!(matches!(unknown, Err(UserError::Unknown(_))), "{unknown:?}");
    }

    store.add("eve", PASSWORD, Role::Operator).unwrap();
    assert_eq!(store.remove("ada").unwrap(), Role::Operator);
    assert_eq!(store.verify("ada", PASSWORD), None);
    let last = store.remove("eve");
    assert!(matches!(last, Err(UserError::LastOperator(_))), "{last:?}");

    // All of it is on disk, and nobody's going opens enrolment.
    let again = UserStore::open(&scratch.0).unwrap();
    let names: Vec<_> = again.list().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["bob", "eve"]);
    assert_eq!(again.verify("bob", "another horse"), Some(Role::Viewer));
    assert!(again.enrolled());
}
