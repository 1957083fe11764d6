// The display, noVNC.

import RFB from '@novnc/novnc'
import { socket } from './api.js'
import { h } from './dom.js'
import { frame } from './stream.js'

export function display(main, namespace, name) {
  const key = `${namespace}/${name}`
  const screen = h('div', { class: 'screen display' })
  let connection
  let rfb
  const shown = frame(main, key, 'Display', screen, connect)
  shown.tools.append(' ', h('button', { type: 'button', onclick: () => rfb?.sendCtrlAltDel() }, 'Send Ctrl+Alt+Del'))

  function connect() {
    shown.connecting()
    screen.replaceChildren()
    connection = socket(`/api/vms/${key}/vnc`)
    connection.addEventListener('close', (event) => shown.ended(event))
    rfb = new RFB(screen, connection, { shared: true })
    rfb.scaleViewport = true
    rfb.background = 'transparent'
    rfb.addEventListener('connect', () => {
      shown.connected()
      const canvas = screen.querySelector('canvas')
      canvas.setAttribute('role', 'img')
      canvas.setAttribute('aria-label', `Display of ${key}`)
      rfb.focus()
    })
    rfb.addEventListener('securityfailure', (event) =>
      shown.ended({ code: 4001, reason: event.detail.reason ?? 'the display refuses the connection' }))
  }

  connect()
  return () => {
    rfb.disconnect()
  }
}
