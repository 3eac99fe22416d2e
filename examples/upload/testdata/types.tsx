// The tests compile this file with tsc --strict. It uses the types of the
// module and of the hook.
import {
  type Limits, type UploadedObject, UploadError, checksum, complete, limits, requestGrant, send,
  upload, uploadAll,
} from "@s3presign/upload";
import { useUpload } from "@s3presign/upload/react";

export async function page(input: HTMLInputElement, token: () => Promise<string>): Promise<string> {
  const service = {
    endpoint: "/uploads/", credentials: "include",
    headers: async () => ({ Authorization: `Bearer ${await token()}` }),
  } as const;
  const allowed: Limits = await limits(service);
  input.accept = allowed.types.join();
  const files: File[] = [...(input.files ?? [])];
  const file = files[0]!;
  try {
    const object: UploadedObject<{ url: string }> = await upload<{ url: string }>(file, {
      ...service, method: "multipart", metadata: { album: "1" }, signal: AbortSignal.timeout(1000),
      onProgress: ({ phase, loaded, total }) => {
        const sending: boolean = phase === "sending" && loaded < total;
        void sending;
      },
      onGrant: (grant) => {
        if (grant.method === "multipart") console.log(grant.part_size);
        else console.log(grant.url);
      },
    });
    const outcomes = await uploadAll(files, { ...service, concurrency: 2 });
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") console.log(outcome.value.key);
    }
    const sum = await checksum(file, "CRC32C");
    const grant = await requestGrant({ filename: file.name, checksum: sum }, service);
    await send(grant, file);
    await complete({ key: grant.key }, service);
    return object.reply?.url ?? "";
  } catch (error) {
    if (error instanceof UploadError && error.code === "too_large") {
      return `at most ${error.errors[0]?.max} bytes`;
    }
    throw error;
  }
}

// @ts-expect-error endpoint is required
void upload(new Blob(), {});
// @ts-expect-error PATCH must be rejected
void upload(new Blob(), { endpoint: "/", method: "PATCH" });

const options = { endpoint: "/uploads/" };

export function Picker() {
  const state = useUpload<{ url: string }>(options);
  if (state.status === "done") return state.object.reply?.url ?? null;
  if (state.status === "failed") return state.error.message;
  if (state.status === "uploading") return `${state.loaded} of ${state.total}`;
  return void state.upload(new File([], "a.txt")), null;
}
