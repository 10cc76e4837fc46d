from .writing import page_html as page_html, write_page as write_page
