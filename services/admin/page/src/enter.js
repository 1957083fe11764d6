// After the code: keeps the key for this origin alone, and goes on to the page.
localStorage.setItem('key', document.querySelector('meta[name=key]').content)
location.replace('/')
