// Draws openapi.json. All text goes in as text, never as HTML.
"use strict";

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

function schemaName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(schemaName).join(" or ");
  if (schema.type === "array") return "list of " + schemaName(schema.items || {});
  return [].concat(schema.type || "any").join(" or ");
}

function schemaLink(schema) {
  const name = schemaName(schema);
  return schema && schema.$ref ? element("a", { href: "#schema-" + name }, name) : name;
}

function contents(content) {
  const list = element("ul");
  for (const [mediaType, what] of Object.entries(content || {})) {
    list.append(element("li", {}, element("code", {}, mediaType), " ", schemaLink(what.schema)));
  }
  return list;
}

function parameters(list) {
  const rows = list.map((one) =>
    element("tr", {},
      element("td", {}, element("code", {}, one.name), one.required ? " *" : ""),
      element("td", {}, schemaName(one.schema)),
      element("td", {}, one.description || "")));
  return element("table", {},
    element("thead", {}, element("tr", {}, ...["Parameter", "Type", "Meaning"].map((t) => element("th", {}, t)))),
    element("tbody", {}, ...rows));
}

function endpoint(method, path, operation) {
  const scopes = (operation.security || []).flatMap((one) => Object.values(one).flat());
  const box = element("details", { class: "endpoint", "data-text": [method, path, operation.summary].join(" ").toLowerCase() },
    element("summary", {},
      element("span", { class: "method " + method }, method.toUpperCase()), " ",
      element("code", {}, path), " ",
      element("span", { class: operation.deprecated ? "deprecated" : "" }, operation.summary || "")));
  const needs = [...new Set(scopes)].join(", ");
  box.append(element("p", {}, needs ? "Needs: " + needs : "Open to everybody"));
  if ((operation.parameters || []).length) box.append(parameters(operation.parameters));
  if (operation.requestBody) box.append(element("h4", {}, "Body"), contents(operation.requestBody.content));
  for (const [status, reply] of Object.entries(operation.responses || {})) {
    box.append(element("p", {}, element("strong", {}, status), " ", reply.description || ""), contents(reply.content));
  }
  return box;
}

async function draw() {
  const about = document.getElementById("about");
  const reply = await fetch("openapi.json");
  if (!reply.ok) throw new Error("openapi.json: " + reply.status);
  const doc = await reply.json();
  about.textContent = doc.info.description;
  const endpoints = document.getElementById("endpoints");
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (method !== "parameters") endpoints.append(endpoint(method, path, { ...operation, parameters: [...(item.parameters || []), ...(operation.parameters || [])] }));
    }
  }
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    schemas.append(element("details", { id: "schema-" + name },
      element("summary", {}, element("code", {}, name)),
      element("pre", {}, element("code", {}, JSON.stringify(schema, null, 2)))));
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const box of endpoints.children) box.hidden = !words.every((word) => box.dataset.text.includes(word));
  });
  window.addEventListener("hashchange", open);
  open();
}

function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) { target.open = true; target.scrollIntoView(); }
}

draw().catch((error) => { document.getElementById("about").textContent = "The documentation cannot be shown: " + error.message; });
