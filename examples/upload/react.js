import { useCallback, useRef, useState } from "react";
import { upload } from "./upload.js";

/**
 * Returns the state of one upload at a time, and functions that start and
 * cancel it. The state has a status: "idle", "uploading", "done" or "failed".
 * The status determines which of file, phase, loaded, total, object and error
 * are set.
 */
export function useUpload(options) {
  const [state, setState] = useState({ status: "idle" });
  const running = useRef(null);
  const start = useCallback(async (file, more) => {
    running.current?.abort();
    const controller = running.current = new AbortController();
    // Only the latest upload sets the state.
    const show = (next) => running.current === controller && setState(next);
    show({ status: "uploading", file, loaded: 0, total: file.size });
    try {
      const onProgress = (progress) => show({ status: "uploading", file, ...progress });
      const { signal } = controller;
      const object = await upload(file, { ...options, ...more, signal, onProgress });
      show({ status: "done", file, object });
      return object;
    } catch (error) {
      show(controller.signal.aborted ? { status: "idle" } : { status: "failed", file, error });
    }
  }, [options]);
  const cancel = useCallback(() => running.current?.abort(), []);
  return { ...state, upload: start, cancel };
}
