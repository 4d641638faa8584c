//! What a reload changes: a pure difference of two settings.

use crate::model::settings::Settings;
use std::sync::Arc;

/// The difference between running and new settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The new settings whole.
    pub settings: Arc<Settings>,
}
