"""The shop with Django.

python -m django runserver --settings example_apps.django_app.settings
"""
