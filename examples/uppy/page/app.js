import { AwsS3, Dashboard, GoldenRetriever, Uppy } from "./uppy.js";

const { user, maxSize } = document.body.dataset;
const largest = Number(maxSize);
const $ = (selector, root = document) => root.querySelector(selector);

// Uppy stores the state of interrupted uploads in the browser under this ID.
// The logout deletes the state.
const uppy = new Uppy({ id: user, restrictions: { minFileSize: 1, maxFileSize: largest } })
  .use(Dashboard, {
    target: "#uppy", inline: true, width: "100%", height: "26rem", theme: "auto",
    proudlyDisplayPoweredByUppy: false,
    note: `Any file of up to ${bytes(largest)}, except types that browsers execute`,
  })
  .use(AwsS3, { companionEndpoint: "/uploads" })
  // A reloaded page loses its files, so GoldenRetriever keeps copies of them in
  // the browser. By default it keeps only files of up to 10 MiB, which are too
  // small for multipart uploads. If a file has no copy, Uppy asks the user to
  // select it again, and then resumes.
  .use(GoldenRetriever, { indexedDB: { maxFileSize: largest, maxTotalSize: 2 * largest } });

// Uppy sends the size of a file to the service only as metadata.
uppy.on("file-added", (file) => uppy.setFileMeta(file.id, { size: file.size }));

// The page completes each file as soon as the store has it. A file counts as
// uploaded only after the completion.
uppy.on("upload-success", (file, { body }) => { completeOnce(file, body.key); });
uppy.addPostProcessor((ids) => Promise.all(
  ids.map((id) => uppy.getFile(id)).filter((file) => file?.response)
    .map((file) => completeOnce(file, file.response.body.key)),
));

const completions = new Map(); // by key
const rejected = new Set(); // IDs of files that the service rejects again after a retry

/**
 * Shows or hides the buttons to retry and to pause. Without the button to
 * retry, a failed file would show the button to pause.
 */
function offerRetry(offer) {
  const dashboard = uppy.getPlugin("Dashboard");
  dashboard.setOptions({ hideRetryButton: !offer, hidePauseResumeButton: !offer });
}
uppy.on("upload", () => offerRetry(true));
uppy.on("complete", ({ failed }) => {
  offerRetry(!failed.length || failed.some(({ id }) => !rejected.has(id)));
});

/** Completes an upload, only once, and shows the outcome. */
function completeOnce(file, key) {
  if (!completions.has(key)) completions.set(key, complete(key).then(
    ({ filename, size, type, detected, key: published }) => {
      add("stored", { filename, size: bytes(size), type, detected, sent: key, key: published });
    },
    (error) => {
      add("rejected", { filename: file.name, message: `Rejected: ${error.message}` });
      if (error.rejected) rejected.add(file.id);
      const failed = uppy.getFile(file.id);
      if (!failed) return; // The user has removed the file in the meantime.
      uppy.setFileState(file.id, {
        progress: { ...failed.progress, uploadComplete: false, postprocess: undefined },
      });
      uppy.emit("upload-error", failed, error);
    },
  ));
  return completions.get(key);
}

/**
 * Completes an upload. If the service is still inspecting it, waits and tries
 * again.
 */
async function complete(key) {
  const response = await fetch("/uploads/complete", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }),
  });
  const content = await response.json();
  if (content.errors?.[0]?.code === "pending") {
    await new Promise((resolve) => setTimeout(resolve, 1000 * content.retry_after));
    return complete(key);
  }
  if (!response.ok) {
    throw Object.assign(new Error(content.message), { rejected: response.status === 422 });
  }
  return content;
}

/** Adds a copy of a template with these texts to the start of the list. */
function add(template, texts) {
  const item = $(`#${template}`).content.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) {
    $(`.${name}`, item).textContent = text || "no known format";
  }
  $(".outcomes").prepend(item);
}

function bytes(n) {
  for (const unit of ["bytes", "KiB", "MiB"]) {
    if (n < 1024) return `${Number(n.toPrecision(3))} ${unit}`;
    n /= 1024;
  }
  return `${Number(n.toPrecision(3))} GiB`;
}
