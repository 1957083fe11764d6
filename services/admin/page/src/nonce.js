// xterm.js writes style elements for its colours and sizes. The policy allows those with this document's nonce.

const nonce = document.querySelector('script[nonce]').nonce
let allowed = false

export function allowStyles() {
  if (allowed) return
  allowed = true
  const create = document.createElement.bind(document)
  document.createElement = (name, options) => {
    const element = create(name, options)
    if (name === 'style') element.nonce = nonce
    return element
  }
}
