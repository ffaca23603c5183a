//! What the emulators get wrong. The tests expect what AWS KMS does; those that
//! are listed here must fail on that server, and say so when they no longer do.

const KNOWN: &[(&str, &str, &str)] = &[
    ("moto", "keys::disabled", "disabled keys go on working"),
    (
        "moto",
        "keys::pending_deletion",
        "keys that await deletion go on working",
    ),
    (
        "moto",
        "keys::of_another_key",
        "AccessDeniedException, not IncorrectKeyException",
    ),
    ("moto", "keys::multi_region", "a replica does not decrypt"),
    (
        "moto",
        "keys::multi_region_discovery",
        "a replica does not decrypt",
    ),
    ("moto", "python::multi_region", "a replica does not decrypt"),
    (
        "localstack",
        "keys::garbage",
        "NotFoundException, not InvalidCiphertextException",
    ),
];

/// What this server does wrong in this test.
pub(crate) fn known(server: &str, test: &str) -> Option<&'static str> {
    let mut found = KNOWN
        .iter()
        .filter(|known| known.0 == server && known.1 == test);
    found.next().map(|known| known.2)
}
