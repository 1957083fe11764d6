// Calls of virtadm's server. The key is sent with each: cookies alone do not know the port that they belong to.

const key = localStorage.getItem('key') ?? ''

export class Failure extends Error {}

async function call(path, options = {}) {
  let response
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, 'X-Virtadm-Key': key } })
  } catch {
    throw new Failure('virtadm does not answer: it has ended, or this browser is offline')
  }
  if (response.ok) return response
  if (response.status === 401) location.replace('/enter') // this session has ended
  const answer = await response.json().catch(() => ({}))
  throw new Failure(answer.error ?? `virtadm answers with status ${response.status}`)
}

const json = (body) => ({
  method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' },
})

export const get = async (path) => (await call(path)).json()
export const post = async (path, body = {}) => (await call(path, json(body))).json()

// The lines of a response, each as soon as it is there.
export async function* lines(path, body) {
  const reader = (await call(path, json(body))).body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const parts = (rest + value).split('\n')
    rest = parts.pop()
    for (const part of parts) yield JSON.parse(part)
  }
}

export function socket(path) {
  const opened = new WebSocket(`ws://${location.host}${path}`, ['virtadm', `key.${key}`])
  opened.binaryType = 'arraybuffer'
  return opened
}
