//! Programs told of transitions, of an instance or of a group.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::script::command;
use crate::model::settings::{Command, NotifySettings, RunAs};

/// Reads one `notify*` line; the first of each kind counts.
pub(super) fn read(notify: &mut NotifySettings, node: &Node, word: &Word, diags: &mut Diags) {
    let name = &*word.text;
    if name == "notify_deleted" {
        if notify.deleted.is_none() {
            notify.deleted = Some(command(node, diags));
        }
        return;
    }
    let slot: &mut Option<Command> = match name {
        "notify" => &mut notify.any,
        "notify_master" => &mut notify.master,
        "notify_backup" => &mut notify.backup,
        "notify_fault" => &mut notify.fault,
        "notify_stop" => &mut notify.stop,
        "notify_master_rx_lower_pri" => &mut notify.lower_advert,
        _ => return,
    };
    if slot.is_some() {
        diags.push(
            Diagnostic::warning(
                "repeated-notify",
                word.span,
                format!("{name} is given twice; the first counts"),
            )
            .help("call both programs from one script"),
        );
        return;
    }
    *slot = command(node, diags);
}

/// Programs without a user of their own are run by the script user.
pub(super) fn default_user(notify: &mut NotifySettings, user: Option<&RunAs>) {
    let commands = [
        &mut notify.master,
        &mut notify.backup,
        &mut notify.fault,
        &mut notify.stop,
        &mut notify.lower_advert,
        &mut notify.any,
    ];
    for command in commands
        .into_iter()
        .flatten()
        .chain(notify.deleted.iter_mut().flatten())
    {
        if command.user.is_none() {
            command.user = user.cloned();
        }
    }
}
