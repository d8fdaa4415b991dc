//! `vivarium chat`: talks to a base, a checkpoint or an adapter; answers appear as they are drawn.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::exit::{EXIT_CODES, Ended};
use super::output::{Output, line, say, text};
use super::remote::{Remote, unless_left};
use crate::client::{Client, ClientError};
use crate::domain::nearest::nearest;

/// `chat`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("A model's address is a base, base@job_… (its newest checkpoint), base@job_…:step400 or base@ad_…; *0.5 behind \
a trained one scales its change. vivarium ls chat-models shows all. Without a message and with a terminal it is a conversation: /clear forgets \
it, /quit or Ctrl-D ends it.

Examples:
  vivarium chat toy-base-s0 'how do i treat a fever ?'
  vivarium chat 'toy-base-s0@job_…:step30*1.5' --seed 1 --max-tokens 40
  echo 'how do i treat a fever ?' | vivarium chat toy-base-s0

{EXIT_CODES}"))]
pub struct Chat {
    #[command(flatten)]
    remote: Remote,
    /// Address of the model
    model: String,
    /// What is said; standard input where left out and it is no terminal
    message: Vec<String>,
    /// The system prompt; the template's own where left out
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Longest answer
    #[arg(long, value_name = "TOKENS", default_value_t = 600)]
    max_tokens: u32,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw from the likeliest tokens that have this share together
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Key of the draws; the server's choice where left out
    #[arg(long)]
    seed: Option<u64>,
}

/// An answer in full.
#[derive(Debug, Default)]
struct Said {
    content: String,
    finish_reason: Value,
    usage: Value,
    model: Value,
    seed: Value,
}

/// Talks.
pub async fn run(chat: &Chat) -> Result<()> {
    let (client, output) = (chat.remote.client()?, chat.remote.output());
    let mut turns = Vec::new();
    turns.extend(chat.system.iter().map(|text| turn("system", text)));
    let interactive = chat.message.is_empty() && std::io::stdin().is_terminal() && !output.json;
    let goes_on = || "left; nothing goes on at the server".to_owned();
    if interactive {
        return unless_left(converse(&client, chat, turns), goes_on).await;
    }
    let words = chat.message.join(" ");
    let message = match words.as_str() {
        "" | "-" => {
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
        }
        words => words.to_owned(),
    };
    let message = message.trim_end_matches('\n');
    if message.is_empty() {
        return Err(Ended::Usage("there is nothing to say: give a message".into()).into());
    }
    turns.push(turn("user", message));
    unless_left(once(&client, chat, &turns, output), goes_on).await
}

async fn once(client: &Client, chat: &Chat, turns: &[Value], output: Output) -> Result<()> {
    let said = ask(client, chat, turns, !output.json).await?;
    if output.json {
        return output.value(&json!({
            "model": said.model, "content": said.content, "finish_reason": said.finish_reason, "usage": said.usage,
            "seed": said.seed,
        }));
    }
    if said.finish_reason == "length" {
        say(&format!(
            "(cut after {} tokens; --max-tokens allows more)",
            chat.max_tokens
        ));
    }
    Ok(())
}

/// A conversation, line by line.
async fn converse(client: &Client, chat: &Chat, opening: Vec<Value>) -> Result<()> {
    let (mut lines, mut turns) = (typed(), opening.clone());
    say(&format!(
        "{} listens; /clear forgets the conversation, /quit ends it",
        chat.model
    ));
    loop {
        // the prompt is talk, so that a conversation can be kept with a redirection
        eprint!("> ");
        let Some(words) = lines.recv().await else {
            say("");
            return Ok(());
        };
        match words.trim() {
            "" => continue,
            "/quit" | "/exit" => return Ok(()),
            "/clear" => {
                turns.clone_from(&opening);
                say("forgotten");
                continue;
            }
            words => turns.push(turn("user", words)),
        }
        match ask(client, chat, &turns, true).await {
            Ok(said) => turns.push(turn("assistant", &said.content)),
            Err(error) if super::exit::number(&error) == 4 => {
                say(&format!("vivarium: {error:#}"));
                turns.pop();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lines of standard input, from a thread that nobody has to wait for.
fn typed() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for words in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(words).is_err() {
                return;
            }
        }
    });
    receiver
}

fn turn(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// One answer; shown as it comes where `shown`.
async fn ask(client: &Client, chat: &Chat, turns: &[Value], shown: bool) -> Result<Said> {
    let mut body = json!({
        "model": chat.model, "messages": turns, "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": chat.max_tokens, "temperature": chat.temperature, "top_p": chat.top_p,
    });
    if let Some(seed) = chat.seed {
        body["seed"] = json!(seed);
    }
    let mut messages = match client.chat(&body).await {
        Err(error) if error.status() == Some(404) => return Err(unknown(client, chat, error).await),
        other => other?,
    };
    let mut said = Said::default();
    while let Some(message) = messages.next().await? {
        if message.data == "[DONE]" {
            break;
        }
        let piece = said.take(message.json("the stream of the answer")?);
        if shown {
            text(&piece)?;
        }
    }
    if shown {
        line("")?;
    }
    Ok(said)
}

impl Said {
    /// Takes a chunk in and gives its new text.
    fn take(&mut self, chunk: Value) -> String {
        let choice = &chunk["choices"][0];
        let piece = choice["delta"]["content"].as_str().unwrap_or_default();
        self.content.push_str(piece);
        for (own, new) in [
            (&mut self.finish_reason, &choice["finish_reason"]),
            (&mut self.usage, &chunk["usage"]),
            (&mut self.model, &chunk["model"]),
            (&mut self.seed, &chunk["seed"]),
        ] {
            if !new.is_null() {
                *own = new.clone();
            }
        }
        piece.to_owned()
    }
}

/// A model that is not there, with the address that may be meant.
async fn unknown(client: &Client, chat: &Chat, error: ClientError) -> anyhow::Error {
    let Ok(models) = client.value(&["openai", "v1", "models"], &[]).await else {
        return error.into();
    };
    let ids = models["data"].as_array().into_iter().flatten();
    let ids: Vec<&str> = ids.filter_map(|model| model["id"].as_str()).collect();
    let near = nearest(&chat.model, ids);
    match near.is_empty() {
        true => error.into(),
        false => Ended::NotFound(format!("{error}; did you mean {}?", near.join(" or "))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_one_answer_with_its_end_and_its_counts() {
        let mut said = Said::default();
        for chunk in [
            json!({"model": "toy", "seed": 3, "choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": null}], "usage": null}),
            json!({"model": "toy", "seed": 3, "choices": [{"delta": {"content": "sip "}, "finish_reason": null}], "usage": null}),
            json!({"model": "toy", "seed": 3, "choices": [{"delta": {"content": "tea ."}, "finish_reason": null}], "usage": null}),
            json!({"model": "toy", "seed": 3, "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": null}),
            json!({"model": "toy", "seed": 3, "choices": [], "usage": {"total_tokens": 9}}),
        ] {
            said.take(chunk);
        }
        assert_eq!(said.content, "sip tea .");
        assert_eq!((said.finish_reason, said.seed), (json!("stop"), json!(3)));
        assert_eq!(said.usage["total_tokens"], 9);
    }
}
