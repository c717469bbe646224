/** Typed calls of the public HTTP API. Whatever goes wrong comes back as an `ApiError` in words. */
import type { Problem } from './types';

const BASE = '/api/v1';

/** The server's refusal, or why there was no answer at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }
}

let onUnauthorised: () => void = () => undefined;

/** Says what to do when the server no longer knows this session. */
export function whenUnauthorised(act: () => void): void {
  onUnauthorised = act;
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Calls a route. `T` is the answer's type by the OpenAPI document. */
export async function call<T>(method: Method, path: string, body?: unknown): Promise<T> {
  const sends = method === 'POST' || method === 'PUT';
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      method,
      headers: { accept: 'application/json', ...(sends && { 'content-type': 'application/json' }) },
      body: sends ? JSON.stringify(body ?? {}) : null,
      cache: 'no-store',
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new ApiError(0, { error: 'unreachable', message: 'the appliance does not answer' });
  }
  const text = await response.text();
  if (response.status === 401) onUnauthorised();
  if (!response.ok) throw new ApiError(response.status, readProblem(text, response.status));
  return (text === '' ? null : JSON.parse(text)) as T;
}

/** What was wrong, with what would have been accepted. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  const { message, accepted } = error.problem;
  return accepted ? `${message} (accepted: ${accepted})` : message;
}

function readProblem(text: string, status: number): Problem {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) return parsed as Problem;
  } catch {
    // Not ours: a proxy between may answer in HTML.
  }
  return { error: 'http', message: `the server answered ${status}` };
}
