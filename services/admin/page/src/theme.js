// Dark, light, or as the system has it.

const THEMES = ['system', 'dark', 'light']

export function applyTheme(button) {
  let theme = THEMES.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'system'
  const show = () => {
    document.documentElement.dataset.theme = theme
    button.textContent = `Theme: ${theme}`
  }
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]
    localStorage.setItem('theme', theme)
    show()
  })
  show()
}
