//! One module a noun, and how errors become lines.

pub(crate) mod admin;
pub(crate) mod bundle;
pub(crate) mod manual;
pub(crate) mod platform;

use epic_common::invalid::Invalids;

/// Turns an error and its causes into lines: one, or one for each thing that is wrong with a document.
pub(crate) fn lines(error: &anyhow::Error) -> Vec<String> {
    let chain: Vec<String> = error.chain().filter(|cause| !cause.is::<Invalids>()).map(one_line).collect();
    let context = chain.join(": ");
    let Some(invalids) =
        error.downcast_ref::<Invalids>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
    else {
        return vec![context];
    };
    let context = if context.is_empty() { format!("the {} is not valid", invalids.document) } else { context };
    invalids.all.iter().map(|invalid| format!("{context}: {}", one_line(invalid))).collect()
}

fn one_line(text: impl std::fmt::Display) -> String {
    text.to_string().split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use epic_common::invalid::Invalid;

    use super::*;

    #[test]
    fn each_wrong_field_has_its_line() {
        let all = vec![Invalid::new("a.b", "is odd"), Invalid::new("", "two\n  lines")];
        let invalids = Invalids { document: "manifest", all };
        assert_eq!(lines(&invalids.clone().into())[0], "the manifest is not valid: a.b: is odd");
        let error = Err::<(), _>(invalids).context("cannot read x").unwrap_err();
        assert_eq!(lines(&error), ["cannot read x: a.b: is odd", "cannot read x: two; lines"]);
    }
}
