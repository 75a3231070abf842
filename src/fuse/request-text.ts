/** A request as text, for the debug log. */
import type { Header, OpName } from "./ops.ts";

export function describeRequest(name: OpName, { unique, nodeid, uid, pid }: Header, request: unknown): string {
  const fields = JSON.stringify(request, (_, value) =>
    typeof value === "bigint"
      ? value.toString()
      : ArrayBuffer.isView(value)
        ? `${value.byteLength} bytes`
        : // Buffer has toJSON, which runs before this function and would spell out every byte.
          isBufferJson(value)
          ? `${value.data.length} bytes`
          : value,
  );
  return `→ ${unique} ${name} node ${nodeid} uid ${uid} pid ${pid} ${fields}`;
}

function isBufferJson(value: unknown): value is { data: unknown[] } {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    value.type === "Buffer" &&
    "data" in value &&
    Array.isArray(value.data)
  );
}
