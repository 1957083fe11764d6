// The serial console, xterm.js.

import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import { socket } from './api.js'
import { h } from './dom.js'
import { allowStyles } from './nonce.js'
import { frame } from './stream.js'

export function serialConsole(main, namespace, name) {
  const key = `${namespace}/${name}`
  const screen = h('div', { class: 'screen terminal' })
  allowStyles()
  const terminal = new Terminal({
    screenReaderMode: true, scrollback: 10000, fontSize: 14,
    linkHandler: { activate() {} }, // what a guest writes opens no page
  })
  const fit = new FitAddon()
  let connection
  const shown = frame(main, key, 'Serial console', screen, connect)
  terminal.loadAddon(fit)
  terminal.open(screen)
  terminal.textarea.setAttribute('aria-label', `Serial console of ${key}`)
  const resize = new ResizeObserver(() => fit.fit())
  resize.observe(screen)
  const encoder = new TextEncoder()
  const send = (bytes) => connection?.readyState === WebSocket.OPEN && connection.send(bytes)
  terminal.onData((text) => send(encoder.encode(text)))
  terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))))

  function connect() {
    shown.connecting()
    connection = socket(`/api/vms/${key}/console`)
    connection.onopen = () => {
      shown.connected()
      terminal.focus()
    }
    connection.onmessage = (message) => terminal.write(new Uint8Array(message.data))
    connection.onclose = (event) => shown.ended(event)
  }

  connect()
  return () => {
    connection.onclose = null
    connection.close()
    resize.disconnect()
    terminal.dispose()
  }
}
