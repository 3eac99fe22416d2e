import { upload } from "./upload.js";

const phases = {
  checksum: "Reading", sending: "Sending", verifying: "Scanning", pending: "Still scanning",
};

async function store(file) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  const outcome = document.createElement("span");
  name.textContent = file.name;
  outcome.textContent = "Starting …";
  item.append(name, " ", outcome);
  document.querySelector("#uploads").prepend(item);
  try {
    await upload(file, {
      endpoint: "/uploads/",
      onProgress: ({ phase }) => { outcome.textContent = `${phases[phase]} …`; },
    });
    outcome.textContent = "Scanned and published.";
  } catch (error) {
    item.className = "rejected";
    outcome.textContent = error.code ? `${error.message} (${error.code})` : error.message;
  }
  await list();
}

async function list() {
  const response = await fetch("/files");
  const files = response.ok ? await response.json() : [];
  document.querySelector("#empty").hidden = files.length > 0;
  document.querySelector("#published").replaceChildren(...files.map(({ name, size }) => {
    const item = document.createElement("li");
    item.textContent = `${name}, ${size} bytes`;
    return item;
  }));
}

const input = document.querySelector("#files");
input.onchange = async () => {
  for (const file of input.files) await store(file);
  input.value = ""; // Otherwise the user could not select the same file again.
};
// A file might have been selected before this script ran.
input.onchange();

for (const button of document.querySelectorAll("[data-sample]")) {
  button.onclick = async () => {
    const response = await fetch(button.dataset.sample);
    const type = response.headers.get("Content-Type");
    await store(new File([await response.arrayBuffer()], button.dataset.sample, { type }));
  };
}

list();
