//! The system text that a conversation is read with, whoever put it there. Knows how to ask a template, not what it holds.

use super::{Chat, ChatError, Conversation, is_system};
use crate::domain::finetune::ChatSpec;

/// Stands for a system text; no template prints it of its own accord.
const MARK: &str = "\u{e000}system\u{e000}";

impl Chat {
    /// The system text in force: the conversation's own, the one that `chat.system` gives, or the template's; none where there is none.
    ///
    /// The template's is what it prints where it would print another one: the rendering without a system turn is laid beside the
    /// one with a mark.
    pub fn system_in_force(
        &self,
        conversation: &Conversation,
        spec: &ChatSpec,
    ) -> Result<Option<String>, ChatError> {
        let arranged = self.arranged(conversation, spec)?;
        if let Some(own) = arranged.messages.first().filter(|first| is_system(first)) {
            let content = own.get_attr("content").unwrap_or_default();
            return Ok(content.as_str().map(str::to_string));
        }
        let plain = self.render(&arranged, spec, false)?;
        let marked = super::with_system(&arranged, MARK);
        // A template that refuses a system turn has none of its own.
        let Ok(marked) = self.render(&marked, spec, false) else {
            return Ok(None);
        };
        let own = marked.split_once(MARK).and_then(|(before, behind)| {
            let rest = plain.strip_prefix(before)?;
            rest.strip_suffix(behind)
        });
        Ok(own.filter(|own| !own.is_empty()).map(str::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CHATML, QWEN, chat};
    use super::*;

    fn system(template: &str, json: &str, asked: &str) -> Option<String> {
        let conversation = Conversation {
            messages: serde_json::from_str(json).unwrap(),
            tools: None,
        };
        let spec = ChatSpec {
            system: asked.into(),
            ..ChatSpec::default()
        };
        chat(template)
            .system_in_force(&conversation, &spec)
            .unwrap()
    }

    #[test]
    fn the_system_text_is_the_rows_the_specs_or_the_templates() {
        let bare = r#"[{"role":"user","content":"a"}]"#;
        let own = r#"[{"role":"system","content":"own"},{"role":"user","content":"a"}]"#;
        let text = |text: &str| Some(text.to_string());
        assert_eq!(system(QWEN, bare, "template_default"), text("you are b"));
        assert_eq!(system(QWEN, own, "template_default"), text("own"));
        assert_eq!(system(QWEN, bare, "text:c c"), text("c c"));
        assert_eq!(system(QWEN, bare, "none"), text(""));
        assert_eq!(system(CHATML, bare, "template_default"), None);
        let refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}";
        assert_eq!(system(refuses, bare, "template_default"), None);
    }
}
