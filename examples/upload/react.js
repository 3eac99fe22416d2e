import { useCallback, useRef, useState } from "react";
import { upload } from "./upload.js";

/**
 * Returns the state of one upload at a time and the functions that start and cancel it. The state has a status ("idle",
 * "uploading", "done" or "failed"), and according to it file, phase, loaded, total, object and error.
 */
export function useUpload(options) {
  const [state, setState] = useState({ status: "idle" });
  const running = useRef(null);
  const start = useCallback(async (file, more) => {
    running.current?.abort();
    const controller = running.current = new AbortController();
    // A later upload has the state to itself.
    const show = (next) => running.current === controller && setState(next);
    show({ status: "uploading", file, loaded: 0, total: file.size });
    try {
      const onProgress = (progress) => show({ status: "uploading", file, ...progress });
      const object = await upload(file, { ...options, ...more, signal: controller.signal, onProgress });
      show({ status: "done", file, object });
      return object;
    } catch (error) {
      show(controller.signal.aborted ? { status: "idle" } : { status: "failed", file, error });
    }
  }, [options]);
  const cancel = useCallback(() => running.current?.abort(), []);
  return { ...state, upload: start, cancel };
}
