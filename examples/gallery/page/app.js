import { upload, UploadError } from "./upload.js";

// A browser opens few connections to one host.
const maxUploads = 3;
const $ = (selector, root = document) => root.querySelector(selector);
const announce = (text) => { $("#status").textContent = text; };

/** Returns a copy of the element in a template. */
function item(template) {
  return $(`#${template}`).content.cloneNode(true).firstElementChild;
}

// Uploading.

const waiting = [];
let sending = 0;

function add(file) {
  const li = item("upload");
  const controller = new AbortController();
  $(".file", li).textContent = file.name;
  $("progress", li).setAttribute("aria-label", `Progress of ${file.name}`);
  const button = $(".cancel", li);
  button.setAttribute("aria-label", `Cancel ${file.name}`);
  button.onclick = () => {
    if (li.dataset.state === "ended") return dismiss(li);
    controller.abort();
    if (!waiting.some((entry) => entry.li === li)) return; // transfer shows the outcome.
    waiting.splice(waiting.findIndex((entry) => entry.li === li), 1);
    end(li, "cancelled", "Cancelled");
  };
  preview($(".preview", li), file);
  showState(li, "waiting", "Waiting");
  $(".uploads").append(li);
  waiting.push({ li, file, signal: controller.signal });
  next();
}

async function next() {
  if (sending >= maxUploads || !waiting.length) return;
  const { li, file, signal } = waiting.shift();
  sending++;
  await transfer(li, file, signal);
  sending--;
  next();
}

/** The text for each phase, by the fraction that has been sent. */
const phases = {
  checksum: () => "Computing the checksum",
  sending: (fraction) => `${Math.floor(100 * fraction)} %`,
  verifying: () => "Verifying",
  pending: () => "The service is still inspecting the picture. "
    + "It appears here after the inspection.",
};

async function transfer(li, file, signal) {
  const progress = $("progress", li);
  try {
    const picture = await upload(file, {
      endpoint: "/uploads/", signal, concurrency: maxUploads,
      onProgress: ({ phase, loaded, total }) => {
        progress.value = loaded / total;
        showState(li, phase, phases[phase](loaded / total));
      },
    });
    await list();
    li.remove();
    announce(`${picture.filename} is in your gallery.`);
  } catch (error) {
    if (error.name === "AbortError") end(li, "cancelled", "Cancelled");
    else end(li, "rejected", explain(error, ["verifying", "pending"].includes(li.dataset.state)));
  }
}

/** Returns a text for the user about the reason for an error. */
function explain(error, stored) {
  if (!(error instanceof UploadError)) return error.message;
  const { by, status, code, message, errors } = error;
  if (by === "store") {
    return status ? `The store rejected the picture: ${code}. ${message}` : message;
  }
  if (status === 401) return "You are logged out. Reload the page.";
  if (!errors.length) return message;
  const faults = errors.map(({ field, detail }) => `Its ${field.replace("_", " ")} ${detail}.`);
  return (stored ? ["Rejected and deleted.", ...faults] : faults).join(" ");
}

/** Shows the state of an upload. */
function showState(li, state, text) {
  li.dataset.state = state;
  $(".outcome", li).textContent = text;
}

function end(li, outcome, text) {
  li.dataset.outcome = outcome;
  showState(li, "ended", text);
  const file = $(".file", li).textContent;
  $(".cancel", li).textContent = "Dismiss";
  $(".cancel", li).setAttribute("aria-label", `Dismiss ${file}`);
  announce(`${file}: ${text}`);
}

function dismiss(li) {
  const other = li.nextElementSibling ?? li.previousElementSibling;
  li.remove();
  (other ? $("button", other) : $("#files")).focus();
}

function preview(root, file) {
  const image = new Image();
  image.alt = "";
  image.onerror = image.onload = ({ type }) => {
    URL.revokeObjectURL(image.src);
    if (type === "error") image.remove();
  };
  image.src = URL.createObjectURL(file);
  root.append(image);
}

const input = $("#files");
input.onchange = () => {
  for (const file of input.files) add(file);
  input.value = "";
};
// A file might have been selected before this script ran.
input.onchange();
document.ondragover = (event) => {
  event.preventDefault();
  $(".drop").classList.add("over");
};
document.ondragleave = (event) => {
  if (!event.relatedTarget) $(".drop").classList.remove("over");
};
document.ondrop = (event) => {
  event.preventDefault();
  $(".drop").classList.remove("over");
  for (const file of event.dataTransfer.files) add(file);
};

// Pictures.

let listings = 0;

/**
 * Lists the user's pictures. Pictures that are already shown keep their
 * elements, so that they do not load again.
 */
async function list() {
  const listing = ++listings;
  const response = await fetch("/pictures").catch(() => undefined);
  const pictures = response?.ok && await response.json();
  if (listing !== listings) return; // A later listing has started.
  if (!pictures) return announce("The pictures cannot be shown. Reload the page.");
  const items = [...document.querySelectorAll(".picture")].map((li) => [li.dataset.id, li]);
  const shown = new Map(items);
  $(".pictures").replaceChildren(
    ...pictures.map((picture) => shown.get(picture.id) ?? show(picture)));
  $(".empty").hidden = pictures.length > 0;
}

function show({ id, name, size, added }) {
  const li = item("picture");
  const url = `/pictures/${id}`;
  li.dataset.id = id;
  $("a", li).href = url;
  Object.assign($("img", li), { src: url, alt: name });
  $("b", li).textContent = name;
  const day = new Date(added).toLocaleDateString("en", { day: "numeric", month: "short" });
  $("small", li).textContent = `${bytes(size)}, ${day}`;
  const button = $(".delete", li);
  button.setAttribute("aria-label", `Delete ${name}`);
  button.onclick = async () => {
    if (!await confirmDeletion(name)) return;
    const response = await fetch(url, { method: "DELETE" }).catch(() => undefined);
    announce(response?.ok ? `${name} is deleted.` : `${name} could not be deleted.`);
    await list();
    ($(".picture .delete") ?? $("#files")).focus();
  };
  return li;
}

/**
 * Asks in a new dialog each time: an earlier dialog might still receive its
 * close event.
 */
function confirmDeletion(name) {
  const dialog = item("delete");
  $("p", dialog).textContent = name;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "delete");
    };
  });
}

function bytes(n) {
  if (n < 1024) return `${n} ${n === 1 ? "byte" : "bytes"}`;
  if (n < 2 ** 20) return `${(n / 2 ** 10).toPrecision(3)} KiB`;
  return `${(n / 2 ** 20).toPrecision(3)} MiB`;
}

list();
