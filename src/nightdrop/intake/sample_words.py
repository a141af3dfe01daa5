# SPDX-License-Identifier: Apache-2.0
"""The words from which `intake.sample` makes people up.

Every place is invented; telephone numbers and mail domains are those set aside for
examples (555-01xx, RFC 2606), so that a sample that goes astray reaches nobody.
"""

GIRLS = tuple(
    word.replace("_", " ")
    for word in """
Ada Aisha Alice Amina Ana Anh Aoife Ava Beatriz Bella Camila Caroline Charlotte Chloé Clara
Daniela Destiny Elena Eliza Ella Emily Emma Esther Eva Fatima Fiona Gabriela Giulia Grace
Hannah Harper Hodan Imani Ines Isabella Jada Jasmine Jia Josefina Julia Khadija Kiara Lan
Layla Leah Lena Lily Linh Lucía Luna Madison Maria Mary_Ann Maya Mei Mia Mila Naomi Natalia
Nia Nora Olivia Paige Penelope Priya Quinn Rania Renée Rosa Ruth Sadia Salma Sara Siobhán
Sofía Stella Talia Tessa Uma Valentina Victoria Willow Ximena Yasmin Yuki Zoë Zuri
""".split()  # noqa: SIM905 - a paragraph reads better than a list of ninety strings
)
BOYS = tuple(
    word.replace("_", " ")
    for word in """
Aaron Abdi Adam Ahmed Alejandro Alexander André Anthony Ari Asher Benjamin Björn Caleb Carlos
Chase Christopher Cole Connor Damian Daniel David Diego DeShawn Elijah Elliot Emmanuel Ethan
Felix Finn Gabriel George Giovanni Hassan Henry Hugo Ian Ibrahim Isaac Ismael Jack Jamal
James Jayden Jesús Joaquín John_Paul Jonah José Joseph Joshua Juan Kai Kenji Kevin Kofi
Leo Levi Liam Logan Luca Lucas Luis Malik Marcus Mason Mateo Matthew Michael Minh Mohamed
Nathan Noah Oliver Omar Oscar Owen Patrick Pedro Peter Rafael Rashid René Roman Ryan Samuel
Santiago Sean Sebastián Simon Theo Thomas Tyler Victor William Wyatt Xavier Yusuf Zachary
""".split()  # noqa: SIM905 - as above
)
FAMILIES = tuple(
    word.replace("_", " ")
    for word in """
Abdullahi Adams Adeyemi Ali Allen Alvarez Anderson Bailey Baker Barnes Becker Bell Bennett
Brooks Brown Bui Campbell Carter Castillo Chavez Chen Clark Cohen Collins Cook Cooper Cruz
D'Angelo Davis de_la_Cruz Delgado Diaz Đặng Edwards Evans Fernández Fischer Fisher Flores
Foster García Gómez González Gray Green Griffin Gupta Gutiérrez Haddad Hall Hansen Harris
Hassan Hernandez Herrera Hoàng Howard Hughes Hussein Ibrahim Jackson Jean-Baptiste Jenkins
Jensen Jiménez Johnson Jones Kaur Kelly Khan Kim King Kowalski Kumar Lee Lewis Li Liu Long
López Łuczak MacDonald Martin Martínez McCarthy Mendoza Miller Mohamed Moore Morales Morgan
Morris Müller Muñoz Murphy Myers Nelson Nguyen Núñez O'Brien O'Connor O'Neill Okafor Ortiz
Osman Owens Park Parker Patel Pérez Peterson Phillips Powell Price Ramirez Ramos Reed Reyes
Richardson Rivera Roberts Robinson Rodríguez Rogers Romero Ross Ruiz Russell Ryan Sanchez
Sanders Santos Schmidt Scott Shah Silva Singh Smith Smith-Jones St._James Stewart Sullivan
Taylor Thomas Thompson Torres Tran Turner Van_Dyke Vargas Vásquez Walker Wang Ward Washington
Watson White Williams Wilson Wong Wood Wright Wu Yang Young Yusuf Zhang Zhou Zimmermann
""".split()  # noqa: SIM905 - as above
)
NICKNAMES = ("AJ", "Bo", "CJ", "Dee", "Kit", "Max", "Sunny", "Teddy")
SUFFIXES = ("Jr.", "Jr.", "II", "III")
STREETS = (
    "Oak Street",
    "Maple Avenue",
    "Orchard Lane",
    "Mill Road",
    "Church Street",
    "Old County Road",
    "Winesap Way",
    "Russet Court",
    "2nd Street",
    "Martin Luther King Jr. Boulevard",
    "Route 9",
    "Cider Press Lane",
)
#: Between street and flat; one family in five hundred has a line break there.
BREAKS = (", ",) * 29 + ("\n",)
#: City and Zip, which begins with a zero, as spreadsheets like to forget.
PLACES = (
    ("Apple Grove", "01099"),
    ("Apple Grove", "01098"),
    ("North Orchard", "01097"),
    ("Cider Mills", "02799"),
    ("St. Anne's Crossing", "02798"),
)
STATE = "MA"
#: Name, reporting id, first and last grade.
BUILDINGS = (
    ("Grove Elementary", "010101", 0, 5),
    ("North Orchard Elementary", "010102", 0, 5),
    ('Eleanor "Nell" Whitcomb School', "010103", 0, 5),
    ("Cider Mills Elementary", "010104", 0, 5),
    ("Apple Grove Middle School", "010201", 6, 8),
    ("Mills, Orchard & Grove Middle School", "010202", 6, 8),
    ("Apple Grove High School", "010301", 9, 12),
)
#: How many guardians a student has: 1.6 on average.
GUARDIANS = (1,) * 9 + (2,) * 10 + (3,)
ENROLLMENTS = ("ENROLLED",) * 192 + ("TRANSFERRED",) * 4 + ("WITHDREW",) * 3 + ("PRE_ENROLLED",)
RACES = ("A", "B", "H", "I", "M", "P", "W")
LANGUAGES = ("en",) * 16 + ("es", "es", "vi", "so", "pt", "ar", "zh", "ht", "")
MAIL_DOMAINS = ("example.org", "example.com", "example.net", "mail.example")
