import type { Progress, UploadError, UploadOptions, UploadedObject } from "./upload.js";

type Options = Omit<UploadOptions, "signal" | "onProgress">;

export type UploadState<Reply> =
  | { status: "idle" }
  | ({ status: "uploading"; file: File } & Omit<Progress, "phase"> & { phase?: Progress["phase"] })
  | { status: "done"; file: File; object: UploadedObject<Reply> }
  | { status: "failed"; file: File; error: UploadError };

export type UseUpload<Reply> = UploadState<Reply> & {
  /**
   * Starts an upload, and aborts the running upload. Resolves to undefined if
   * the upload fails.
   */
  upload(file: File, more?: Partial<Options>): Promise<UploadedObject<Reply> | undefined>;
  /** Aborts the running upload. */
  cancel(): void;
};

/**
 * Returns the state of one upload at a time. Pass the same options object each
 * time. With another object, upload is a new function.
 */
export function useUpload<Reply = unknown>(options: Options): UseUpload<Reply>;
