//! Calls by path whose answers are passed on as they are: JSON, text, pages of a list.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{Client, Outcome};
use crate::domain::page::Page;

/// Items that are asked for at once.
const PAGE: usize = 200;

impl Client {
    /// What a path answers, as JSON.
    pub async fn value(&self, path: &[&str], query: &[(&str, &str)]) -> Outcome<Value> {
        self.get(path, query).await
    }

    /// What a path answers, as text of the media type `accept`.
    pub async fn text(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        accept: &str,
    ) -> Outcome<String> {
        let request = self.http.get(self.url(path)).query(query);
        let response = self.accepted(request.header("accept", accept)).await?;
        self.text_of(response).await
    }

    /// Posts JSON, or nothing, and gives what is answered.
    pub async fn post(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Outcome<Value> {
        self.read(self.posting(path, body).query(query)).await
    }

    /// The newest `most` items of a list, page by page.
    pub async fn list(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        most: usize,
    ) -> Outcome<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < most {
            let limit = (most - items.len()).min(PAGE).to_string();
            let mut wanted = query.to_vec();
            wanted.push(("limit", &limit));
            wanted.extend(cursor.iter().map(|cursor| ("cursor", cursor.as_str())));
            let page: Page<Value> = self.get(path, &wanted).await?;
            items.extend(page.data);
            match page.next_cursor.filter(|_| page.has_more) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        items.truncate(most);
        Ok(items)
    }

    /// A request that posts `body`.
    pub(super) fn posting(&self, path: &[&str], body: Option<&Value>) -> RequestBuilder {
        let request = self.http.request(Method::POST, self.url(path));
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}
