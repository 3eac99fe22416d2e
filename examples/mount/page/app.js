import { upload } from "./upload.js";

const $ = (selector) => document.querySelector(selector);
const show = (text) => { $("#outcome").textContent = text; };

/** Shows the upload forms to a user, or the login if user is undefined. */
function enter(user) {
  $("#login").hidden = Boolean(user);
  $("#uploads").hidden = !user;
  $("#user").textContent = user ?? "";
  show("");
}

$("#login").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const request = { method: "POST", body: new URLSearchParams(form) };
  const response = await fetch("/login", request).catch(() => undefined);
  if (response?.ok) enter(form.get("user"));
  else show(response ? await response.text() : "The service cannot be reached.");
};

$("#logout").onclick = async () => {
  await fetch("/logout", { method: "POST" }).catch(() => undefined);
  enter(undefined);
};

for (const input of document.querySelectorAll("input[type=file]")) {
  input.onchange = async () => {
    const [file] = input.files;
    try {
      const object = await upload(file, {
        endpoint: input.dataset.endpoint,
        onProgress: ({ phase, loaded, total }) => {
          show(`${file.name}: ${phase}, ${Math.floor(100 * loaded / total)} %`);
        },
      });
      show(`${file.name} is stored and verified as ${object.key}.`);
    } catch (error) {
      show(`${file.name}: ${error.message}`);
    }
    input.value = ""; // Otherwise the user could not select the same file again.
  };
  // A file might have been selected before this script ran.
  if (input.files.length > 0) input.onchange();
}
