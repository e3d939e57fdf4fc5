use girih_model::Result;
pub async fn init(_uri: &str, _if_not_exists: bool) -> Result<bool> {
    Ok(true)
}
pub async fn info(_uri: &str) -> Result<serde_json::Value> {
    Ok(serde_json::Value::Null)
}
pub async fn upgrade(_uri: &str) -> Result<String> {
    Ok(String::new())
}
