//! Random cases, the same for the same number.
//!
//! Left out, since the other evaluator has no way to say them: grants; two keys
//! of one encryption context that differ only in case; sessions of roles. And
//! what this library refuses to read, which `tests/kms_policy` shows.

use serde_json::{Map, Value, json};
use waxseal::kms::Principal;

use super::case::{Case, NOON, NOW};

/// Splitmix64: good enough, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
/// The second account's are callers from outside: all keys are the first's.
const KEYS: [&str; 3] = [
    "arn:aws:kms:us-east-1:111122223333:key/1234",
    "arn:aws:kms:us-east-1:111122223333:key/alice",
    "arn:aws:kms:eu-west-1:111122223333:key/5678",
];
const ACTIONS: [&str; 7] = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:CreateGrant",
    "kms:ScheduleKeyDeletion",
    "kms:PutKeyPolicy",
];
const KEYLESS: [&str; 3] = ["kms:CreateKey", "kms:ListKeys", "kms:GenerateRandom"];

pub(crate) fn case(number: u64) -> Case {
    let random = &mut Random::new(number.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0x7761_7873);
    let account = random.pick(&[ACCOUNTS[0], ACCOUNTS[0], ACCOUNTS[1]]);
    let principal = match random.below(5) {
        0 => Principal::root(account),
        1 | 2 => Principal::user(account, random.pick(&["alice", "bob"])),
        3 => Principal::role(account, "app"),
        _ => Principal::role(account, "team/app"),
    };
    let is_keyless = random.one_in(12);
    let identity_count = random.pick(&[0, 1, 1, 2]);
    Case {
        key_policy: (!is_keyless).then(|| policy(random, true)),
        identity: (0..identity_count).map(|_| policy(random, false)).collect(),
        principal: principal.expect("a principal"),
        action: random.pick(if is_keyless { &KEYLESS } else { &ACTIONS }),
        resource: if is_keyless { "*" } else { random.pick(&KEYS) }.to_owned(),
        account: if is_keyless { account } else { ACCOUNTS[0] },
        context: context(random),
    }
}

fn context(random: &mut Random) -> Map<String, Value> {
    let mut context = Map::new();
    for (key, values) in TEXTS {
        let key = *key;
        if !random.one_in(3) {
            // The case of the key does not matter.
            let spelled = if random.one_in(4) && key.ends_with("Stage") {
                key.replace("Stage", "STAGE")
            } else {
                key.to_owned()
            };
            context.insert(spelled, random.pick(values).into());
        }
    }
    for (key, values) in LISTS {
        let count = random.below(4).min(values.len());
        if count > 0 {
            let first = random.below(values.len());
            let values: Vec<Value> = values
                .iter()
                .cycle()
                .skip(first)
                .take(count)
                .map(|v| (*v).into())
                .collect();
            context.insert((*key).to_owned(), values.into());
        }
    }
    if !random.one_in(3) {
        context.insert(NOW.into(), (random.below(3) * 60).into());
    }
    context
}

/// Keys with one value, and what they can be.
const TEXTS: &[(&str, &[&str])] = &[
    (
        "kms:EncryptionContext:AppName",
        &["ExampleApp", "exampleapp", "Other", "alice", "a*"],
    ),
    (
        "kms:EncryptionContext:Stage",
        &["Test", "Restricted", "5", "5.0", "-1", "10", "x"],
    ),
    (
        "kms:EncryptionContext:aws:s3:arn",
        &[
            "arn:aws:s3:::bucket/alice/x",
            "arn:aws:s3:::bucket",
            "arn:aws:s3",
            "2026-03-01T12:01:00Z",
            "true",
        ],
    ),
    (
        "kms:ViaService",
        &["s3.us-east-1.amazonaws.com", "ec2.us-east-1.amazonaws.com"],
    ),
    ("kms:KeySpec", &["SYMMETRIC_DEFAULT"]),
    ("kms:RequestAlias", &["alias/app", "alias/alice"]),
    (
        "kms:GranteePrincipal",
        &[
            "arn:aws:iam::111122223333:user/alice",
            "arn:aws:iam::444455556666:role/app",
        ],
    ),
    ("kms:GrantIsForAWSResource", &["true", "false"]),
    ("kms:BypassPolicyLockoutSafetyCheck", &["true", "false"]),
    ("kms:ScheduleKeyDeletionPendingWindowInDays", &["7", "30"]),
    ("kms:RotationPeriodInDays", &["90", "365"]),
];

const LISTS: &[(&str, &[&str])] = &[
    (
        "kms:GrantOperations",
        &["Encrypt", "Decrypt", "GenerateDataKey"],
    ),
    ("kms:ResourceAliases", &["alias/app", "alias/alice"]),
];

/// The caller's keys and the time.
const GIVEN: [&str; 7] = [
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:PrincipalType",
    "aws:username",
    "aws:CurrentTime",
    "aws:EpochTime",
    "kms:CallerAccount",
];
const MULTIVALUED: [&str; 3] = [
    "kms:EncryptionContextKeys",
    "kms:GrantOperations",
    "kms:ResourceAliases",
];

fn policy(random: &mut Random, is_key: bool) -> Value {
    let count = random.pick(&[1, 1, 2, 3, 4]);
    let has_variables = !random.one_in(6);
    let mut statements: Vec<Value> = (0..count)
        .map(|number| statement(random, is_key, has_variables, number))
        .collect();
    if is_key && random.one_in(2) {
        let root = format!("arn:aws:iam::{}:root", ACCOUNTS[0]);
        statements.push(json!({
            "Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"
        }));
    }
    let mut policy = json!({"Statement": statements});
    if has_variables {
        policy["Version"] = "2012-10-17".into();
    } else if random.one_in(2) {
        policy["Version"] = "2008-10-17".into();
    }
    policy
}

fn statement(random: &mut Random, is_key: bool, has_variables: bool, number: usize) -> Value {
    let mut statement = Map::new();
    let is_deny = random.one_in(4);
    if random.one_in(2) {
        statement.insert("Sid".into(), format!("S{number}").into());
    }
    let effect = if is_deny { "Deny" } else { "Allow" };
    statement.insert("Effect".into(), effect.into());
    if is_key {
        let name = if is_deny && random.one_in(3) {
            "NotPrincipal"
        } else {
            "Principal"
        };
        statement.insert(name.into(), principals(random));
    }
    let name = if random.one_in(6) {
        "NotAction"
    } else {
        "Action"
    };
    let actions = [
        "kms:*",
        "*",
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:GenerateDataKey*",
        "kms:?ncrypt",
        "kms:*crypt",
        "kms:create*",
        "KMS:DECRYPT",
        "s3:GetObject",
        "kms:List*",
        "kms:Put*",
    ];
    statement.insert(name.into(), some(random, &actions));
    let name = if random.one_in(8) {
        "NotResource"
    } else {
        "Resource"
    };
    let resources = [
        "*",
        "*",
        KEYS[0],
        KEYS[1],
        "arn:aws:kms:*:111122223333:key/*",
        "arn:aws:kms:us-east-1:*:key/1?3*",
        "arn:*:kms:us-*-1:111122223333:key/*5*",
        "arn:aws:kms:us-east-1:111122223333:alias/*",
        "arn:aws:s3:::bucket/*",
        "arn:aws:kms:us-east-1:111122223333:key/${aws:username}",
        "arn:aws:kms:us-east-1:111122223333:key/${aws:username, 'alice'}",
    ];
    let usable = if has_variables {
        &resources[..]
    } else {
        &resources[..9]
    };
    statement.insert(name.into(), some(random, usable));
    let count = random.pick(&[0, 0, 1, 1, 2]);
    let mut block = Map::new();
    for _ in 0..count {
        let (operator, key, values) = condition(random, has_variables);
        let keys = block.entry(operator).or_insert_with(|| json!({}));
        let keys = keys.as_object_mut().expect("an object");
        if !keys.keys().any(|other| other.eq_ignore_ascii_case(&key)) {
            keys.insert(key, values);
        }
    }
    if !block.is_empty() {
        statement.insert("Condition".into(), block.into());
    }
    statement.into()
}

fn principals(random: &mut Random) -> Value {
    if random.one_in(6) {
        return "*".into();
    }
    let accounts = [
        "111122223333",
        "444455556666",
        "arn:aws:iam::111122223333:root",
        "arn:aws:iam::444455556666:root",
        "arn:aws:iam::111122223333:user/alice",
        "arn:aws:iam::111122223333:user/bob",
        "arn:aws:iam::444455556666:user/alice",
        "arn:aws:iam::111122223333:role/app",
        "arn:aws:iam::444455556666:role/app",
        "arn:aws:iam::111122223333:role/team/app",
        "*",
    ];
    if random.one_in(15) {
        return json!({"Service": "s3.amazonaws.com"});
    }
    json!({"AWS": some(random, &accounts)})
}

/// One of them, or a list.
fn some(random: &mut Random, from: &[&str]) -> Value {
    if random.one_in(2) {
        return random.pick(from).into();
    }
    let count = 1 + random.below(3);
    (0..count).map(|_| Value::from(random.pick(from))).collect()
}

fn condition(random: &mut Random, has_variables: bool) -> (String, String, Value) {
    let families: [(&[&str], &[&str]); 6] = [
        (
            &[
                "StringEquals",
                "StringNotEquals",
                "StringEqualsIgnoreCase",
                "StringNotEqualsIgnoreCase",
                "StringLike",
                "StringNotLike",
            ],
            &[
                "ExampleApp",
                "EXAMPLEAPP",
                "Example*",
                "*",
                "?xample*",
                "a*",
                "alice",
                "Restricted",
                "Test",
                "5",
                "7",
                "true",
                "AppName",
                "Stage",
                "STAGE",
                "Encrypt",
                "Decrypt",
                "alias/*",
                "alias/app",
                "111122223333",
                "User",
                "SYMMETRIC_DEFAULT",
                "s3.*.amazonaws.com",
                "arn:aws:iam::111122223333:user/*",
                "2026-03-01T12:01:00Z",
                "${aws:username}",
                "alias/${aws:username}",
                "${aws:username, 'ExampleApp'}",
                "${kms:EncryptionContext:AppName}",
                "a${*}",
                "${aws:PrincipalAccount}",
            ],
        ),
        (
            &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
            &[
                "arn:aws:iam::111122223333:user/alice",
                "arn:aws:iam::*:user/*",
                "arn:aws:iam::*:role/*",
                "arn:aws:s3:::bucket/*",
                "arn:aws:s3:::bucket*",
                "arn:*:*:*:*:*",
                "arn:aws:*:*:4444?5556666:*",
                "arn:aws:s3:::bucket/${aws:username}/*",
                "arn:aws:iam::${aws:PrincipalAccount}:root",
            ],
        ),
        (
            &[
                "NumericEquals",
                "NumericNotEquals",
                "NumericLessThan",
                "NumericLessThanEquals",
                "NumericGreaterThan",
                "NumericGreaterThanEquals",
            ],
            &["5", "7", "30", "-1", "5.5", "90"],
        ),
        (
            &[
                "DateEquals",
                "DateNotEquals",
                "DateLessThan",
                "DateLessThanEquals",
                "DateGreaterThan",
                "DateGreaterThanEquals",
            ],
            &[
                "2026-03-01T12:01:00Z",
                "2026-03-01T13:01:00+01:00",
                "2026-03-01",
                "2026-03-02",
                "2026-03-01T12:00:00.000Z",
            ],
        ),
        (&["Bool"], &["true", "false", "True"]),
        (&["Null"], &["true", "false"]),
    ];
    let (operators, values) = families[random.pick(&[0, 0, 0, 0, 1, 2, 3, 4, 5])];
    let base = random.pick(operators);
    let (is_text, is_arn) = (base.starts_with("String"), base.starts_with("Arn"));
    let is_null = base == "Null";

    let key = if (is_text || is_null) && random.one_in(3) {
        random.pick(&MULTIVALUED)
    } else {
        match base {
            // Of the wrong kind, but no digits: which year those are is not what
            // this is about.
            _ if base.starts_with("Date") && random.one_in(4) => random.pick(&[
                "kms:EncryptionContext:AppName",
                "kms:ViaService",
                "aws:PrincipalArn",
            ]),
            _ if base.starts_with("Date") => random.pick(&[
                "aws:CurrentTime",
                "aws:EpochTime",
                "kms:EncryptionContext:aws:s3:arn",
            ]),
            _ if is_text || is_null || random.one_in(4) => {
                let texts = TEXTS.len();
                match random.below(texts + GIVEN.len()) {
                    number if number < texts => TEXTS[number].0,
                    number => GIVEN[number - texts],
                }
            }
            _ if is_arn => random.pick(&[
                "aws:PrincipalArn",
                "kms:GranteePrincipal",
                "kms:EncryptionContext:aws:s3:arn",
            ]),
            "Bool" => random.pick(&[
                "kms:GrantIsForAWSResource",
                "kms:BypassPolicyLockoutSafetyCheck",
                "kms:EncryptionContext:aws:s3:arn",
            ]),
            _ => random.pick(&[
                "kms:ScheduleKeyDeletionPendingWindowInDays",
                "kms:RotationPeriodInDays",
                "kms:EncryptionContext:Stage",
            ]),
        }
    };
    let is_context = key.starts_with("kms:EncryptionContext:");
    let is_multivalued = MULTIVALUED.contains(&key);
    let set = match random.below(4) {
        _ if is_null => "",
        0 | 1 if is_multivalued => "ForAllValues:",
        _ if is_multivalued => "ForAnyValue:",
        0 if !is_context => "ForAllValues:",
        1 => "ForAnyValue:",
        _ => "",
    };
    let suffix = if !is_null && random.one_in(3) {
        "IfExists"
    } else {
        ""
    };

    let mut usable: Vec<&str> = values
        .iter()
        .copied()
        .filter(|value| has_variables || !value.contains('$'))
        .collect();
    let now = (NOON + 60).to_string();
    if base.starts_with("Date") {
        usable.push(&now);
    }
    // Values that the key can have are the ones that matter.
    let own = TEXTS.iter().chain(LISTS).find(|(name, _)| *name == key);
    if let (Some((_, own)), true) = (own, is_text) {
        usable.extend(own.iter().cycle().take(values.len()));
    }
    let spelled = if random.one_in(5) {
        key.to_ascii_lowercase()
    } else {
        key.to_owned()
    };
    (
        format!("{set}{base}{suffix}"),
        spelled,
        some(random, &usable),
    )
}
