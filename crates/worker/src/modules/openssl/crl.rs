//! Where lists of revoked certificates are, as a signing request names them.

use der::flagset::FlagSet;
use schemars::JsonSchema;
use serde::Deserialize;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, Reasons};
use x509_cert::ext::pkix::name::DistributionPointName;

use super::generals;
use crate::pki::names;

/// Where a list of revoked certificates is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrlPoint {
    /// Its names, as `URI:https://ca.example/revoked.crl`.
    #[serde(default)]
    full_name: Option<Vec<String>>,
    /// Its name below that of its issuer.
    #[serde(default)]
    relative_name: Option<Vec<String>>,
    /// Who issues the list.
    #[serde(default)]
    crl_issuer: Option<Vec<String>>,
    /// What it lists.
    #[serde(default)]
    reasons: Option<Vec<Reason>>,
}

/// Why a certificate is revoked.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::CertificateHold => Self::CertificateHold,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            Reason::AaCompromise => Self::AaCompromise,
        }
    }
}

impl CrlPoint {
    /// The point as it stands in a request.
    pub(super) fn point(&self) -> Result<DistributionPoint, String> {
        let what = "CRL distribution point";
        let distribution_point = match (&self.full_name, &self.relative_name) {
            (Some(_), Some(_)) => return Err("parameters are mutually exclusive: full_name|relative_name".to_owned()),
            (Some(full), None) => Some(DistributionPointName::FullName(generals(full, what)?)),
            (None, Some(parts)) => Some(DistributionPointName::NameRelativeToCRLIssuer(names::relative(parts)?)),
            (None, None) => None,
        };
        let crl_issuer = self.crl_issuer.as_ref().map(|issuer| generals(issuer, what)).transpose()?;
        if distribution_point.is_none() && crl_issuer.is_none() {
            return Err("one of the following is required: full_name, relative_name, crl_issuer".to_owned());
        }
        let all = |list: &Vec<Reason>| list.iter().fold(FlagSet::default(), |all, one| all | Reasons::from(*one));
        let reasons = self.reasons.as_ref().map(all);
        Ok(DistributionPoint { distribution_point, reasons, crl_issuer })
    }
}
