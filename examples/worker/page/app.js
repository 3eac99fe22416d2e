import { requestGrant, send } from "./upload.js";

const outcome = document.querySelector("#outcome");

const input = document.querySelector("#files");
input.onchange = async () => {
  for (const file of input.files) {
    try {
      const wish = { filename: file.name, type: file.type, size: file.size };
      await send(await requestGrant(wish, { endpoint: "/uploads/" }), file);
      outcome.textContent = `${file.name} was sent. The worker completes the upload.`;
    } catch (error) {
      outcome.textContent = `${file.name}: ${error.message}`;
    }
  }
  input.value = ""; // Otherwise the user could not select the same file again.
};
// A file might have been selected before this script ran.
input.onchange();

async function list() {
  const response = await fetch("/files").catch(() => undefined);
  const files = response?.ok && await response.json() || [];
  document.querySelector("#published").replaceChildren(...files.map((file) => {
    const item = document.createElement("li");
    item.textContent = `${file.name}, ${file.size} bytes`;
    return item;
  }));
  setTimeout(list, 1000);
}

list();
