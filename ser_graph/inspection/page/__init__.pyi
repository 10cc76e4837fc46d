from .writing import page_html as page_html
from .writing import write_page as write_page
