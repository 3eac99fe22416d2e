import { limits, upload } from "./upload.js";

const $ = (selector, root = document) => root.querySelector(selector);

// Browsers do not send the fragment, so access logs do not contain the ticket.
const ticket = location.hash.slice(1);

// This guest owns the uploads. The browser keeps the name, so that uploads can
// continue after a reload.
const guest = localStorage.guest ??= crypto.randomUUID();

const options = { endpoint: "/uploads/", headers: { Authorization: `Bearer ${ticket}.${guest}` } };

async function start() {
  try {
    const { types, max_size: maxSize } = await limits(options);
    const { Owner, Folder, Count, Ends } = read(ticket);
    const until = new Date(Ends).toLocaleDateString("en", { dateStyle: "long" });
    $("#lead").textContent = `The files go to ${Owner}, into the folder “${Folder}”. ` +
      `The link accepts ${Count} ${Count === 1 ? "file" : "files"} until ${until}.`;
    const limit = `${maxSize / 2 ** 20} MiB`;
    $("#bounds").textContent = `Pictures, videos, PDF and text, up to ${limit} each`;
    $("#files").accept = types.join();
    $("#drop").hidden = false;
  } catch (error) {
    $("#problem").textContent = error.message;
  }
}

/**
 * Returns the content of a ticket. The first 32 bytes are an HMAC, which only
 * the service can verify.
 */
function read(ticket) {
  const text = atob(ticket.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes.subarray(32)));
}

const input = $("#files");
input.onchange = async () => {
  const files = [...input.files];
  input.value = ""; // Otherwise the user could not select the same file again.
  const outcomes = [];
  // Phones have slow connections, so the files are sent one after the other.
  for (const file of files) outcomes.push(await send(file));
  const arrived = outcomes.filter(Boolean).length;
  const have = files.length === 1 ? "file has" : "files have";
  $("#status").textContent = `${arrived} of ${files.length} ${have} arrived.`;
};
// A file might have been selected before this script ran.
if (input.files.length > 0) input.onchange();

const phases = {
  checksum: () => "Reading",
  sending: (percent) => `${percent} %`,
  verifying: () => "Verifying",
  pending: () => "Being inspected",
};

/** Sends a file and reports whether it has arrived. */
async function send(file) {
  const item = $("#file").content.cloneNode(true).firstElementChild;
  const progress = $("progress", item), outcome = $("p", item);
  $("b", item).textContent = file.name;
  progress.setAttribute("aria-label", `Progress of ${file.name}`);
  $("#sent").append(item);
  $("#status").textContent = `Sending ${file.name}`;
  const onProgress = ({ phase, loaded, total }) => {
    progress.value = loaded / total;
    outcome.textContent = phases[phase](Math.floor(100 * loaded / total));
  };
  try {
    await retryTaken(() => upload(file, { ...options, onProgress }));
    outcome.textContent = "Arrived";
    return true;
  } catch (error) {
    outcome.textContent = error.message;
    outcome.className = "bad";
    return false;
  } finally {
    progress.remove();
  }
}

/**
 * Sends a file again if the file of another guest has arrived first in the
 * slot. The next request receives another slot, or an error if all slots are
 * full.
 */
async function retryTaken(send) {
  for (let n = 1; ; n++) {
    try {
      return await send();
    } catch (error) {
      if (error.code !== "taken" || n === 3) throw error;
    }
  }
}

onhashchange = () => location.reload();
start();
