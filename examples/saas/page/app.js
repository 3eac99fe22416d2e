// This page has another origin than the API and sends a token with every
// request.
import { upload } from "/upload.js";

const api = document.querySelector("main").dataset.api;
const token = document.querySelector("#token");
const outcome = document.querySelector("#outcome");

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token.value}` };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  const content = response.status === 204 ? undefined : await response.json();
  if (!response.ok) throw new Error(content.message);
  return content;
}

async function list() {
  const files = await call("GET", "/files");
  document.querySelector("#files").replaceChildren(...files.map((file) => {
    const item = document.createElement("li");
    item.append(`${file.name}, ${file.size} bytes `,
      button("Download", async () => {
        location.href = (await call("GET", `/files/${file.id}`)).url;
      }),
      button("Delete", () => call("DELETE", `/files/${file.id}`).then(list)));
    return item;
  }));
}

function button(text, act) {
  const element = document.createElement("button");
  element.textContent = text;
  element.onclick = () => report(act);
  return element;
}

async function store(file) {
  const object = await upload(file, {
    endpoint: `${api}/uploads/`,
    headers: () => ({ Authorization: `Bearer ${token.value}` }),
    onProgress: ({ phase, loaded, total }) => {
      outcome.textContent = `${phase} ${Math.round(100 * loaded / total)} %`;
    },
  });
  outcome.textContent = `Stored and verified: ${object.filename}`;
  await list();
}

async function report(act) {
  try {
    await act();
  } catch (error) {
    outcome.textContent = error.message;
  }
}

const input = document.querySelector("#file");
input.onchange = async () => {
  await report(() => store(input.files[0]));
  input.value = ""; // Otherwise the user could not select the same file again.
};
// A file might have been selected before this script ran.
if (input.files.length > 0) input.onchange();
token.onchange = () => report(list);
report(list);
