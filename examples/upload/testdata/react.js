// This page uses the hook. The tests bundle it with React.
import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { useUpload } from "@s3presign/upload/react";

const options = { endpoint: "/uploads/" };

function Picker() {
  const { status, phase, object, error, upload, cancel } = useUpload(options);
  return createElement("div", null,
    createElement("input", {
      type: "file", id: "pick", onChange: ({ target }) => upload(target.files[0]),
    }),
    createElement("button", { id: "cancel", onClick: cancel }, "Cancel"),
    createElement("output", { id: "state" },
      [status, phase, object?.filename, error?.code].filter(Boolean).join(" ")));
}

const root = document.body.appendChild(document.createElement("main"));
createRoot(root).render(createElement(StrictMode, null, createElement(Picker)));
