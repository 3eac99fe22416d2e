import { cheat, cheats } from "./cheat.js";
import { UploadError, upload } from "./upload.js";

const $ = (selector, root = document) => root.querySelector(selector);
const { endpoint, bucket } = $("main").dataset;
const method = () => $("input[name=method]:checked").value;
const announce = (text) => { $("#status").textContent = text; };

/** Returns a copy of the list item in a template. */
function item(template) {
  return $(`#${template}`).content.cloneNode(true).firstElementChild;
}

/** Shows an outcome in root. The text must be clear without its color. */
function conclude(root, outcome, text) {
  root.dataset.outcome = outcome;
  $(".outcome", root).textContent = text;
}

// Uploading.

/** The text for each phase, by the fraction that has been sent. */
const phases = {
  sending: (fraction) => `${Math.floor(100 * fraction)} %`,
  verifying: () => "Verifying",
  pending: () => "The service is still inspecting the file",
};

function add(file) {
  const li = item("upload");
  const controller = new AbortController();
  $(".file", li).textContent = file.name;
  $(".size", li).textContent = bytes(file.size);
  $("progress", li).setAttribute("aria-label", `Progress of ${file.name}`);
  $(".cancel", li).setAttribute("aria-label", `Cancel ${file.name}`);
  $(".cancel", li).onclick = () => controller.abort(new DOMException("Cancelled", "AbortError"));
  preview($(".preview", li), file);
  $(".uploads").prepend(li);
  transfer(li, file, controller.signal);
}

async function transfer(li, file, signal) {
  const progress = $("progress", li);
  conclude(li, "asking", "Asking for a grant");
  try {
    const stored = await upload(file, {
      endpoint, signal, method: method(),
      onGrant: (grant) => {
        $("pre", li).textContent = JSON.stringify(grant, null, 2);
        $("details", li).hidden = false;
      },
      onProgress: ({ phase, loaded, total }) => {
        progress.value = loaded / total;
        conclude(li, phase, phases[phase](loaded / total));
      },
    });
    conclude(li, "stored", "Stored and verified");
    describe($(".stored", li), {
      Key: stored.key,
      Size: `${stored.size.toLocaleString("en")} ${stored.size === 1 ? "byte" : "bytes"}`,
      "Looks like": stored.detected,
      ETag: stored.etag,
    });
    announce(`${file.name} is stored.`);
  } catch (error) {
    if (error.name === "AbortError") conclude(li, "cancelled", "Cancelled");
    else if (error instanceof UploadError) {
      const sent = ["verifying", "pending"].includes(li.dataset.outcome);
      conclude(li, "rejected", explain(error, sent));
    } else conclude(li, "failed", error.message);
    announce(`${file.name}: ${$(".outcome", li).textContent}`);
  }
}

/** Returns a text for the user about the reason for a rejection. */
function explain({ by, status, code, message, errors }, sent) {
  if (by === "service") {
    const reasons = errors.map((e) => `${e.field} ${e.detail}`).join("; ") || message;
    const fault = sent ? "rejected and deleted the upload" : "rejected the request";
    return `The service ${fault}: ${reasons}`;
  }
  return status ? `S3 rejected the upload: ${status} ${code}. ${message}` : message;
}

function preview(root, file) {
  if (!file.type.startsWith("image/")) {
    root.textContent = file.name.match(/\.(\w{1,4})$/)?.[1] ?? "file";
    return;
  }
  const image = new Image();
  image.alt = "";
  image.onerror = () => { // The browser cannot show this format.
    URL.revokeObjectURL(image.src);
    root.textContent = file.type.slice("image/".length);
  };
  image.onload = () => URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  root.append(image);
}

function describe(dl, terms) {
  for (const [term, value] of Object.entries(terms)) {
    if (!value) continue;
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("dt"), { textContent: term }));
    row.append(Object.assign(document.createElement("dd"), { textContent: value }));
    dl.append(row);
  }
  dl.hidden = false;
}

/** Returns a size in the same form as the policy's sizes. */
function bytes(n) {
  for (const unit of ["bytes", "KiB", "MiB"]) {
    if (n < 1024) return `${Number(n.toPrecision(n < 1000 ? 3 : 4))} ${n === 1 ? "byte" : unit}`;
    n /= 1024;
  }
  return `${Number(n.toPrecision(3))} GiB`;
}

const input = $("#files");
input.onchange = () => {
  for (const file of input.files) add(file);
  input.value = "";
};
// A file might have been selected before this script ran.
input.onchange();

const drop = $(".drop");
document.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add("over");
};
document.ondragleave = (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
};
document.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  for (const file of event.dataTransfer.files) add(file);
};

// Cheating.

function list() {
  $(".cheats").replaceChildren(...cheats(method()).map((attempt) => {
    const li = item("cheat");
    li.dataset.cheat = attempt.id;
    $("h3", li).textContent = attempt.title;
    $(".note", li).textContent = attempt.note;
    $("button", li).setAttribute("aria-label", `Try: ${attempt.title}`);
    $("button", li).onclick = () => attack(li, attempt);
    return li;
  }));
}

async function attack(li, attempt) {
  const button = $("button", li);
  const showResponse = (text) => { $(".response", li).textContent = text; };
  const showRequest = (text) => { $(".request", li).textContent = text; };
  button.disabled = true;
  showResponse("");
  showRequest("");
  conclude(li, "trying", "Trying");
  const wait = async (seconds) => {
    for (; seconds > 0; seconds--) {
      conclude(li, "trying", `Waiting ${seconds} s`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  };
  const onsend = (grant) => showRequest(`${grant.method} ${new URL(grant.url).pathname}`);
  try {
    await cheat(attempt, { endpoint, bucket, method: method(), wait, onsend });
    conclude(li, "accepted", "ACCEPTED");
    showResponse("The store accepted the upload, but Amazon S3 would reject it.");
  } catch (error) {
    showResponse(error.message);
    if (error.by !== "store") conclude(li, "failed", "Not tried");
    else if (error.status) conclude(li, "rejected", `Rejected: ${error.status} ${error.code}`);
    else conclude(li, "unreadable", "No readable response");
  }
  announce(`${attempt.title}: ${$(".outcome", li).textContent}`);
  button.disabled = false;
}

$("#all").onclick = () => {
  for (const button of document.querySelectorAll(".cheats button:enabled")) button.click();
};
for (const radio of document.querySelectorAll("input[name=method]")) radio.onchange = list;
list();
