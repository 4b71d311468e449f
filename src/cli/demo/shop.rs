//! What the shop answers: plain functions from a call to a response.
//!
//! Where the answers break the document: two rows of the catalogue (a price that is a text, a
//! book without an author), an old review with nine stars, orders of a book that is out of
//! stock (409), express orders (no `Location`), book pages as HTML, and covers that the
//! document forgot.

use std::collections::{HashMap, VecDeque};
use std::io;

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Orders, and reviews of one book, that are remembered; the oldest are forgotten.
const MAX_REMEMBERED: usize = 500;

/// What a consumer asks for.
pub(super) struct ShopRequest<'a> {
    /// The method as sent.
    pub(super) method: &'a str,
    /// The path as sent.
    pub(super) path: &'a str,
    /// The query as sent.
    pub(super) query: &'a str,
    /// The media types wanted; empty when not sent.
    pub(super) accept: &'a str,
    /// The whole body.
    pub(super) body: &'a [u8],
}

/// The shop: its catalogue, and what consumers left in it.
#[derive(Debug)]
pub(super) struct Shop {
    books: Vec<Value>,
    reviews: Mutex<HashMap<String, VecDeque<Value>>>,
    orders: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    placed: u64,
    latest: VecDeque<Value>,
}

type ShopResponse = Response<Full<Bytes>>;

// === impl Shop ===

impl Shop {
    /// Opens the shop with its catalogue. Fails when the embedded catalogue is no JSON array.
    pub(super) fn open() -> io::Result<Self> {
        let books = serde_json::from_str(include_str!("catalogue.json"))?;
        let old = json!({"stars": 9, "text": "Kept me awake.", "reader": "import-2009"});
        let new = json!({"stars": 5, "text": "Still alive.", "reader": "Ada"});
        let reviews = HashMap::from([("9780000000033".to_owned(), VecDeque::from([new, old]))]);
        Ok(Self { books, reviews: Mutex::new(reviews), orders: Mutex::default() })
    }

    /// Answers one call.
    pub(super) fn answer(&self, call: &ShopRequest<'_>) -> ShopResponse {
        let segments: Vec<_> = call.path.trim_start_matches('/').split('/').collect();
        match (call.method, segments.as_slice()) {
            ("GET", ["health"]) => json_answer(200, &json!({"status": "open"})),
            ("GET", ["books"]) => self.list(call.query),
            ("GET", ["books", isbn]) => self.show(isbn, call.accept),
            ("GET", ["books", isbn, "reviews"]) => self.list_reviews(isbn),
            ("POST", ["books", isbn, "reviews"]) => self.add_review(isbn, call.body),
            ("GET", ["stock", isbn]) => self.stock(isbn),
            ("GET", ["covers", isbn]) => self.cover(isbn),
            ("POST", ["orders"]) => self.place_order(call.body),
            ("GET", ["orders", id]) => self.show_order(id),
            _ => problem(404, "Nothing here"),
        }
    }

    /// The answer to a body that could not be read.
    pub(super) fn unreadable() -> ShopResponse {
        problem(400, "The body is too long or broke off")
    }

    fn book(&self, isbn: &str) -> Option<&Value> {
        self.books.iter().find(|book| book["isbn"] == isbn)
    }

    fn list(&self, query: &str) -> ShopResponse {
        let given: HashMap<_, _> =
            query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        // Lenient as many services are: a number it cannot read is no number.
        let number = |name, default| {
            given.get(name).and_then(|text: &&str| text.parse().ok()).unwrap_or(default)
        };
        let wanted = |book: &&Value| given.get("genre").is_none_or(|genre| book["genre"] == *genre);
        let found: Vec<_> = self.books.iter().filter(wanted).map(page_of).collect();
        let total = found.len();
        let page: Vec<_> =
            found.into_iter().skip(number("offset", 0)).take(number("limit", 20)).collect();
        json_answer(200, &json!({"total": total, "items": page}))
    }

    fn show(&self, isbn: &str, accept: &str) -> ShopResponse {
        let Some(book) = self.book(isbn) else { return unknown_book() };
        let tag = format!("\"{isbn}\"");
        let (media_type, body) = if accept.starts_with("text/html") {
            let title = book["title"].as_str().unwrap_or_default();
            let page = format!("<!doctype html><title>{title}</title><h1>{title}</h1>\n");
            ("text/html; charset=utf-8", page)
        } else {
            ("application/json", page_of(book).to_string())
        };
        respond(200, &[("content-type", media_type), ("etag", &tag)], body)
    }

    fn list_reviews(&self, isbn: &str) -> ShopResponse {
        if self.book(isbn).is_none() {
            return unknown_book();
        }
        let reviews = self.reviews.lock();
        json_answer(200, &json!(reviews.get(isbn).into_iter().flatten().collect::<Vec<_>>()))
    }

    fn add_review(&self, isbn: &str, body: &[u8]) -> ShopResponse {
        if self.book(isbn).is_none() {
            return unknown_book();
        }
        let Ok(review @ Value::Object(_)) = serde_json::from_slice(body) else {
            return problem(400, "A review is a JSON object");
        };
        if !matches!(review["stars"].as_u64(), Some(1..=5)) || !review["text"].is_string() {
            return problem(400, "A review has one to five stars and a text");
        }
        let mut reviews = self.reviews.lock();
        let of_book = reviews.entry(isbn.to_owned()).or_default();
        of_book.truncate(MAX_REMEMBERED - 1);
        of_book.push_front(review.clone());
        json_answer(201, &review)
    }

    fn stock(&self, isbn: &str) -> ShopResponse {
        match self.book(isbn) {
            Some(book) => json_answer(200, &json!({"isbn": isbn, "copies": book["copies"]})),
            None => unknown_book(),
        }
    }

    fn cover(&self, isbn: &str) -> ShopResponse {
        let Some(book) = self.book(isbn) else { return unknown_book() };
        let title = book["title"].as_str().unwrap_or_default();
        let image = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"180\">\
             <text x=\"8\" y=\"90\">{title}</text></svg>\n"
        );
        respond(200, &[("content-type", "image/svg+xml")], image)
    }

    fn place_order(&self, body: &[u8]) -> ShopResponse {
        let Ok(wanted) = serde_json::from_slice::<Value>(body) else {
            return problem(400, "An order is JSON");
        };
        let Some(lines) = wanted["lines"].as_array().filter(|lines| !lines.is_empty()) else {
            return problem(400, "An order has lines");
        };
        let mut kept = Vec::new();
        for line in lines {
            let Some(book) = line["isbn"].as_str().and_then(|isbn| self.book(isbn)) else {
                return problem(400, "A line names a book of the catalogue");
            };
            if book["copies"] == 0 {
                return problem(409, "Out of stock");
            }
            let copies = line["copies"].as_u64().or_else(|| line["copies"].as_str()?.parse().ok());
            kept.push(json!({"isbn": book["isbn"], "copies": copies.unwrap_or(1).max(1)}));
        }
        let mut orders = self.orders.lock();
        orders.placed += 1;
        let order = json!({"id": orders.placed, "state": "placed", "lines": kept});
        orders.latest.truncate(MAX_REMEMBERED - 1);
        orders.latest.push_front(order.clone());
        if wanted["delivery"] == "express" {
            return json_answer(201, &order);
        }
        let location = format!("/orders/{}", orders.placed);
        let head = [("content-type", "application/json"), ("location", location.as_str())];
        respond(201, &head, order.to_string())
    }

    fn show_order(&self, id: &str) -> ShopResponse {
        let orders = self.orders.lock();
        let found = orders
            .latest
            .iter()
            .find(|order| order["id"].as_u64().map(|id| id.to_string()).as_deref() == Some(id));
        found.map_or_else(|| problem(404, "No such order"), |order| json_answer(200, order))
    }
}

/// A row of the catalogue as consumers see it: the stock has an operation of its own.
fn page_of(book: &Value) -> Value {
    let fields = book.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| *name != "copies")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn unknown_book() -> ShopResponse {
    problem(404, "No such book")
}

fn problem(status: u16, title: &str) -> ShopResponse {
    let body = json!({"title": title, "status": status}).to_string();
    respond(status, &[("content-type", "application/problem+json")], body)
}

fn json_answer(status: u16, body: &Value) -> ShopResponse {
    respond(status, &[("content-type", "application/json")], body.to_string())
}

fn respond(status: u16, headers: &[(&str, &str)], body: String) -> ShopResponse {
    let builder = Response::builder().status(status);
    let builder =
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    // Only a name or a value that is no header could fail here, and then an empty 200 says so.
    builder.body(Full::new(Bytes::from(body))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(shop: &Shop, method: &str, target: &str, body: &str) -> (u16, ShopResponse) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let answer =
            shop.answer(&ShopRequest { method, path, query, accept: "", body: body.as_bytes() });
        (answer.status().as_u16(), answer)
    }

    async fn json_of(answer: ShopResponse) -> Value {
        use http_body_util::BodyExt;
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn lists_by_genre_and_page() {
        let shop = Shop::open().unwrap();
        let (status, answer) = call(&shop, "GET", "/books?genre=novel&limit=2", "");
        let page = json_of(answer).await;
        assert_eq!((status, &page["total"]), (200, &json!(3)));
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        assert!(page["items"][0].get("copies").is_none());
        let page = json_of(call(&shop, "GET", "/books?limit=lots&offset=7", "").1).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_order_can_be_placed_and_seen() {
        let shop = Shop::open().unwrap();
        let order = r#"{"lines":[{"isbn":"9780000000019","copies":2}]}"#;
        let (status, answer) = call(&shop, "POST", "/orders", order);
        assert_eq!((status, &answer.headers()["location"]), (201, &"/orders/1".parse().unwrap()));
        let placed = json_of(answer).await;
        assert_eq!(json_of(call(&shop, "GET", "/orders/1", "").1).await, placed);
        assert_eq!(call(&shop, "GET", "/orders/2", "").0, 404);
    }

    #[test]
    fn a_malformed_order_is_refused() {
        let shop = Shop::open().unwrap();
        for body in ["", "[]", r#"{"lines":[]}"#, r#"{"lines":[{"isbn":"1"}]}"#] {
            assert_eq!(call(&shop, "POST", "/orders", body).0, 400, "{body}");
        }
        let sold_out = r#"{"lines":[{"isbn":"9780000000071","copies":1}]}"#;
        assert_eq!(call(&shop, "POST", "/orders", sold_out).0, 409);
    }

    #[tokio::test]
    async fn reviews_are_kept_newest_first_and_bounded() {
        let shop = Shop::open().unwrap();
        let of_book = "/books/9780000000019/reviews";
        for stars in [1, 5] {
            let review = json!({"stars": stars, "text": "read"}).to_string();
            assert_eq!(call(&shop, "POST", of_book, &review).0, 201);
        }
        assert_eq!(call(&shop, "POST", of_book, r#"{"stars":6,"text":""}"#).0, 400);
        assert_eq!(call(&shop, "POST", "/books/1/reviews", "{}").0, 404);
        assert_eq!(json_of(call(&shop, "GET", of_book, "").1).await[0]["stars"], 5);
        for _ in 0..2 * MAX_REMEMBERED {
            call(&shop, "POST", of_book, r#"{"stars":3,"text":"again"}"#);
        }
        let kept = json_of(call(&shop, "GET", of_book, "").1).await;
        assert_eq!(kept.as_array().unwrap().len(), MAX_REMEMBERED);
    }

    #[test]
    fn undocumented_paths_are_served_or_refused() {
        let shop = Shop::open().unwrap();
        assert_eq!(call(&shop, "GET", "/covers/9780000000019", "").0, 200);
        assert_eq!(call(&shop, "DELETE", "/books", "").0, 404);
        assert_eq!(call(&shop, "GET", "/books/nonsense", "").0, 404);
    }
}
