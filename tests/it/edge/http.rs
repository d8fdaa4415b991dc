//! What any client sees: pages about the server and the one form of failures.

use serde_json::Value;

use crate::support;

async fn problem(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["request_id"], id);
    (status, body)
}

#[tokio::test]
async fn a_server_tells_its_health_its_build_and_its_routes() {
    let server = support::server().await;
    for (path, field, value) in [
        ("/healthz", "status", "ok"),
        ("/readyz", "status", "ok"),
        ("/version", "name", "vivarium"),
        ("/openapi.json", "openapi", "3.1.0"),
    ] {
        let body: Value = reqwest::get(server.at(path))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(body[field], value, "{path}");
    }
    let docs = reqwest::get(server.at("/docs"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(docs.contains("swagger-ui"), "{docs}");
}

#[tokio::test]
async fn paths_methods_and_parameters_that_are_not_there_are_problems() {
    let server = support::server().await;
    let client = reqwest::Client::new();
    let (status, body) = problem(client.get(server.at("/v1/nothing")).send().await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (404, Some("not_found")));
    assert_eq!(body["instance"], "/v1/nothing");
    let refused = client.delete(server.at("/version")).send().await.unwrap();
    assert!(refused.headers()["allow"].to_str().unwrap().contains("GET"));
    let (status, body) = problem(refused).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (405, Some("method_not_allowed"))
    );
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("possible are GET"),
        "{body}"
    );
    let (status, body) = problem(
        client
            .get(server.at("/version?verbose=1"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (status, body["code"].as_str()),
        (400, Some("unknown_parameter"))
    );
    assert!(
        body["detail"].as_str().unwrap().contains("`verbose`"),
        "{body}"
    );
}

#[tokio::test]
async fn every_code_is_in_the_catalogue_under_the_type_that_problems_carry() {
    let server = support::server().await;
    let catalogue: Value = reqwest::get(server.at("/v1/problems"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let codes: Vec<&str> = catalogue["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["code"].as_str().unwrap())
        .collect();
    let (_, body) = problem(reqwest::get(server.at("/nope")).await.unwrap()).await;
    assert!(codes.contains(&body["code"].as_str().unwrap()));
    assert_eq!(
        body["type"],
        format!("/v1/problems#{}", body["code"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_database_that_is_gone_makes_the_server_unready_but_not_dead() {
    let server = support::server_with(&[("VIVARIUM_DATABASE__ACQUIRE_SECONDS", "0.5")]).await;
    let mut connection = server.database.connection().await;
    sqlx::query("alter table _sqlx_migrations rename to gone")
        .execute(&mut connection)
        .await
        .unwrap();
    let (status, body) = problem(reqwest::get(server.at("/readyz")).await.unwrap()).await;
    assert_eq!(status, 500);
    assert!(
        !body.to_string().contains("_sqlx_migrations"),
        "internal text in {body}"
    );
    assert_eq!(
        reqwest::get(server.at("/healthz")).await.unwrap().status(),
        200
    );
}
