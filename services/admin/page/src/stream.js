// What serial console and display have in common: the frame around them, how they end, and Ctrl+] that leaves them.

import { h, render } from './dom.js'

export function frame(main, key, title, screen, connect) {
  const status = h('p', { role: 'status', id: 'stream' })
  const again = h('button', { type: 'button', id: 'again', onclick: connect }, 'Connect again')
  const back = h('a', { class: 'button', id: 'back', href: `#/vms/${key}` }, `Back to ${key}`)
  const tools = h('p', { class: 'tools' }, back, ' ', again)
  again.hidden = true
  render(main, h('h1', {}, `${title} of ${key}`), status, tools,
    h('p', { class: 'detail' }, h('kbd', {}, 'Ctrl+]'), ' takes the keyboard back from the guest.'), screen)
  // Before the guest gets it: every other key is the guest's, Tab too.
  screen.addEventListener('keydown', (event) => {
    if (!event.ctrlKey || !(event.key === ']' || event.code === 'BracketRight')) return
    event.preventDefault()
    event.stopImmediatePropagation()
    document.activeElement?.blur()
    back.focus()
  }, { capture: true })
  return {
    tools,
    connecting() {
      again.hidden = true
      status.className = ''
      status.textContent = 'Connecting …'
    },
    connected() {
      status.textContent = 'Connected.'
    },
    ended(event) {
      const error = event.code !== 1000
      status.className = error ? 'error' : ''
      status.textContent = error
        ? `The connection has ended: ${event.reason || 'virtadm does not answer'}`
        : `The connection has ended${event.reason ? `: ${event.reason}` : '.'}`
      again.hidden = false
    },
  }
}
