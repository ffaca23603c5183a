//! What the emulators get wrong. The tests expect what AWS KMS does; those that
//! are listed here must fail on that server, and so, and say it when they no
//! longer do.

/// On a server, a test.
pub(crate) struct Deviation {
    server: &'static str,
    test: &'static str,
    /// What the server does.
    pub(crate) does: &'static str,
    /// What the test's failure says.
    pub(crate) says: &'static str,
}

const fn deviation(
    server: &'static str,
    test: &'static str,
    does: &'static str,
    says: &'static str,
) -> Deviation {
    Deviation {
        server,
        test,
        does,
        says,
    }
}

const WORKS: &str = "`Result::unwrap_err()` on an `Ok` value";
const REPLICA: &str = "a replica does not decrypt";
const DENIED: &str = "kind: AccessDenied";
const ONE_REGION: &str = "keys of one Region only";
const NO_REPLICAS: &str = "Multi-Region keys are not supported by this server";

const KNOWN: &[Deviation] = &[
    deviation(
        "moto",
        "keys::disabled",
        "disabled keys go on working",
        WORKS,
    ),
    deviation(
        "moto",
        "keys::pending_deletion",
        "keys that await deletion work",
        WORKS,
    ),
    deviation(
        "moto",
        "keys::of_another_key",
        "AccessDeniedException",
        "left: AccessDenied",
    ),
    deviation(
        "moto",
        "keys::garbage",
        "AccessDeniedException",
        "left: AccessDenied",
    ),
    deviation(
        "moto",
        "keys::for_signing",
        "encrypts under a signing key",
        WORKS,
    ),
    deviation("moto", "keys::multi_region", REPLICA, DENIED),
    deviation("moto", "keys::multi_region_discovery", REPLICA, DENIED),
    deviation(
        "moto",
        "python::multi_region",
        REPLICA,
        "was able to decrypt the Data Key",
    ),
    deviation(
        "localstack",
        "keys::each_suite",
        "a data key has 32 bytes, whatever was asked for",
        "the answer holds a data key of 32 bytes",
    ),
    // What the embedded KMS has not: no deviation, but the answer that says so.
    deviation(
        "kms_server",
        "keys::for_signing",
        "symmetric keys only",
        "is not supported in this Region",
    ),
    deviation("kms_server", "keys::multi_region", ONE_REGION, NO_REPLICAS),
    deviation(
        "kms_server",
        "keys::multi_region_discovery",
        ONE_REGION,
        NO_REPLICAS,
    ),
    deviation(
        "kms_server",
        "python::multi_region",
        ONE_REGION,
        NO_REPLICAS,
    ),
];

/// What this server does wrong in this test.
pub(crate) fn known(server: &str, test: &str) -> Option<&'static Deviation> {
    KNOWN
        .iter()
        .find(|known| known.server == server && known.test == test)
}
