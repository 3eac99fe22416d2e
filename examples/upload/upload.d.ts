/** Options of one upload. */
export interface UploadOptions extends ServiceOptions {
  /** Metadata under names that the service's policy lists. */
  metadata?: Record<string, string>;
  /** Aborts the upload. The service then also aborts a multipart upload. */
  signal?: AbortSignal;
  /**
   * Receives the progress, often many times in one phase. One upload can report
   * a phase more than once.
   */
  onProgress?: (progress: Progress) => void;
  /** Receives each grant before it is used. */
  onGrant?: (grant: Grant | Multipart) => void;
  /**
   * The method of the upload. The default depends on the size and on the
   * service.
   */
  method?: Method;
  /**
   * The file's checksum in base64. By default, upload computes it if the
   * service requires a checksum.
   */
  checksum?: string;
  /**
   * The name of the uploaded file. It is required for a Blob without a name.
   */
  filename?: string;
  /** The number of requests to the store at once, 6 by default. */
  concurrency?: number;
}

/** Options of requests to the service. */
export interface ServiceOptions {
  /**
   * The URL under which the service mounts its Handler, such as "/uploads/".
   */
  endpoint: string;
  /**
   * Headers of each request to the service. A function is called for each
   * request, so that it can renew a token.
   */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  /** "include" sends cookies to a service of another origin. */
  credentials?: RequestCredentials;
  signal?: AbortSignal;
}

export type Method = "PUT" | "POST" | "multipart";

export interface Progress {
  /**
   * One of
   *  - "checksum" while the file is read,
   *  - "sending",
   *  - "verifying" while the service completes the upload, and
   *  - "pending" while a long inspection continues and the client repeats its
   *    request.
   */
  phase: "checksum" | "sending" | "verifying" | "pending";
  /** The bytes of this phase that have been processed. */
  loaded: number;
  total: number;
}

/** The limits of uploads that the service accepts. */
export interface Limits {
  types: string[];
  min_size: number;
  max_size: number;
  expires_in: number;
  checksum?: string;
  metadata: string[];
  methods: Method[];
}

/** A request that the service has signed. */
export interface Grant {
  grant_id: string;
  method: "PUT" | "POST";
  url: string;
  headers?: Record<string, string>;
  fields?: Record<string, string>;
  key: string;
  expires_at: string;
  expires_in: number;
}

/** A multipart upload that the service has started. */
export interface Multipart {
  method: "multipart";
  grant_id: string;
  id: string;
  key: string;
  part_size: number;
}

/** A completed upload. */
export interface UploadedObject<Reply = unknown> {
  key: string;
  filename: string;
  type: string;
  detected?: string;
  size: number;
  etag: string;
  version_id?: string;
  checksum?: string;
  metadata?: Record<string, string>;
  owner: string;
  grant_id: string;
  granted_at: string;
  /** A value that the service's own code adds for the client. */
  reply?: Reply;
}

/** One way in which an upload breaks the policy. */
export interface Violation {
  field: string;
  code: ViolationCode | (string & {});
  detail: string;
  min?: number;
  max?: number;
  allowed?: string[];
}

export type ViolationCode =
  | "required" | "invalid" | "too_small" | "too_large" | "not_allowed" | "unsupported"
  | "contradicts_name" | "contradicts_content" | "contradicts_grant"
  | "taken" | "superseded" | "missing" | "pending";

/**
 * An UploadError is thrown if an upload fails. An aborted upload throws the
 * reason of its signal instead.
 */
export class UploadError extends Error {
  constructor(
    by: "service" | "store", status: number, code: string, message: string,
    errors?: Violation[], retryAfter?: number,
  );
  readonly name: "UploadError";
  /** The sender of the response. */
  readonly by: "service" | "store";
  /** The HTTP status, or 0 if there was no response. */
  readonly status: number;
  /**
   * One of
   *  - the code of the first violation,
   *  - S3's own code, such as "AccessDenied",
   *  - "network" if there was no response,
   *  - "taken" if another file is stored under the key,
   *  - "unsupported" if the page cannot compute the checksum, or
   *  - "http_" and the status.
   */
  readonly code: ViolationCode | "network" | (string & {});
  /** All violations that the service reports. */
  readonly errors: Violation[];
  /** The number of seconds to wait before another attempt. */
  readonly retryAfter: number;
}

/** Uploads one file and returns the completed object. */
export function upload<Reply = unknown>(
  file: Blob, options: UploadOptions,
): Promise<UploadedObject<Reply>>;

export interface UploadAllOptions
  extends Omit<UploadOptions, "filename" | "checksum" | "onProgress" | "onGrant"> {
  onProgress?: (progress: Progress & { file: File }) => void;
}

/** Uploads several files, and resolves to their outcomes in order. */
export function uploadAll<Reply = unknown>(
  files: Iterable<File>, options: UploadAllOptions,
): Promise<PromiseSettledResult<UploadedObject<Reply>>[]>;

/** Returns the limits of the service. The result is kept for five minutes. */
export function limits(options: ServiceOptions): Promise<Limits>;

/** Returns a file's checksum in base64. */
export function checksum(
  file: Blob, algorithm: "CRC32" | "CRC32C" | "SHA256",
  options?: { signal?: AbortSignal; onProgress?: (loaded: number) => void },
): Promise<string>;

/**
 * Asks the service for a grant. Most pages do not need requestGrant; upload
 * calls it.
 */
export function requestGrant(
  wish: {
    filename: string; type?: string; size?: number; min_size?: number; max_size?: number;
    expires_in?: number; checksum?: string; metadata?: Record<string, string>;
    method?: "PUT" | "POST";
  },
  options: ServiceOptions,
): Promise<Grant>;

/**
 * Sends a file to the store with a grant. Most pages do not need send; upload
 * calls it.
 */
export function send(
  grant: Pick<Grant, "method" | "url" | "headers" | "fields">, body: Blob,
  options?: { signal?: AbortSignal; onProgress?: (loaded: number) => void },
): Promise<void>;

/**
 * Completes an upload after send, and waits while the service inspects the
 * upload.
 */
export function complete<Reply = unknown>(
  upload: { key: string } | { id: string }, options: ServiceOptions,
): Promise<UploadedObject<Reply>>;
