//! What the audit trail is told of a call.

use std::time::SystemTime;

use super::Inner;
use super::gate::{By, Call, Outcome, Part};
use crate::kms::audit::{AuditEvent, AuditEventKind};
use crate::kms::digest::hex_into;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::KeyRecord;
use crate::kms::parameter::{Parameter, Parameters};
use crate::kms::state::Operation;

/// More than any call asks for.
const MAX_PARAMETERS: usize = 16;

/// What a call asks for, without memory of its own on the heap.
struct Asked<'a> {
    parameters: [(&'static str, Parameter<'a>); MAX_PARAMETERS],
    length: usize,
}

impl<'a> Asked<'a> {
    fn of(call: &Call<'a>) -> Self {
        let mut asked = Asked {
            parameters: [("", Parameter::Bool(false)); MAX_PARAMETERS],
            length: 0,
        };
        let key = match call.operation {
            // They say themselves what they are about.
            Operation::CreateKey
            | Operation::Decrypt
            | Operation::DeleteAlias
            | Operation::ReEncrypt => None,
            Operation::CreateAlias | Operation::UpdateAlias => Some("targetKeyId"),
            _ => Some("keyId"),
        };
        if let Some(name) = key
            && !call.key.is_empty()
        {
            asked.push(name, Parameter::Text(call.key));
        }
        if let Some(context) = call.context {
            if !context.is_empty() {
                asked.push("encryptionContext", Parameter::Context(context));
            }
            if matches!(call.operation, Operation::Encrypt | Operation::Decrypt) {
                asked.push("encryptionAlgorithm", Parameter::Text("SYMMETRIC_DEFAULT"));
            }
        }
        for (name, value) in call.details {
            asked.push(name, *value);
        }
        if let By::Caller(caller) = call.by
            && caller.dry_run
        {
            asked.push("dryRun", Parameter::Bool(true));
        }
        asked
    }

    fn push(&mut self, name: &'static str, value: Parameter<'a>) {
        if let Some(place) = self.parameters.get_mut(self.length) {
            *place = (name, value);
            self.length += 1;
        }
    }

    fn as_slice(&self) -> Parameters<'_> {
        self.parameters.get(..self.length).unwrap_or_default()
    }
}

fn material_id<'a>(used: Option<(&KeyRecord, u32)>, out: &'a mut [u8; 64]) -> Option<&'a str> {
    let (record, version) = used?;
    let index = usize::try_from(version).ok()?.checked_sub(1)?;
    let key = record.backing_keys.get(index)?;
    hex_into(key.material_id.as_bytes(), out)
}

impl Inner {
    /// Whether there is a trail.
    pub(super) fn takes_note(&self) -> bool {
        self.access.audit.is_some()
    }

    /// Takes note of a call. An error means that it was not, and that the call
    /// is to fail.
    pub(super) fn note(&self, call: &Call<'_>, outcome: Outcome<'_>) -> KmsResult<()> {
        let Some(audit) = &self.access.audit else {
            return Ok(());
        };
        // The whole of it is noted.
        if call.part != Part::Whole {
            return Ok(());
        }
        let now: SystemTime = self.clock.now();
        let asked = Asked::of(call);
        let (mut material, mut source_material) = ([0; 64], [0; 64]);
        let (principal, caller, kind) = match call.by {
            By::Root => (Some(&self.access.root), None, AuditEventKind::ApiCall),
            By::Kms => (None, None, AuditEventKind::ServiceEvent),
            By::Caller(caller) => (
                Some(&caller.principal),
                Some(caller),
                AuditEventKind::ApiCall,
            ),
        };
        let id = self.access.audit_ids.next(now);
        let is_service_event = kind == AuditEventKind::ServiceEvent;
        let event = AuditEvent {
            kind,
            request_id: match caller.and_then(|caller| caller.request_id) {
                given @ Some(_) => given,
                None if is_service_event => None,
                None => Some(self.access.audit_ids.next(now)),
            },
            principal,
            account: &self.names.account,
            region: &self.names.region,
            source_ip: caller.and_then(|caller| caller.source_ip.as_deref()),
            user_agent: caller.and_then(|caller| caller.user_agent.as_deref()),
            error: outcome.error.map(|error| (error.audit_code(), error as _)),
            parameters: if is_service_event {
                &[]
            } else {
                asked.as_slice()
            },
            response: outcome.response,
            details: if is_service_event {
                asked.as_slice()
            } else {
                &[]
            },
            key_material_id: material_id(outcome.used, &mut material),
            source_key_material_id: material_id(outcome.source, &mut source_material),
            resources: outcome.keys,
            read_only: call.operation.is_read_only(),
            ..AuditEvent::new(call.operation.name(), now, id)
        };
        audit.record(&event).map_err(KmsError::Audit)
    }
}
